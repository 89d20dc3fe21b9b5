// Weights as the kernels read them. A matrix is cut into panels of 16 rows; a panel is a run of tiles along
// its columns, so that a thread that owns some panels streams one contiguous piece of memory. Rows past the
// matrix's end are zero bytes.
//
// Float types: tiles of 16 rows x 1 column, the 16 values of a column; 64 bytes (F32) or 32 (F16, BF16).
//
// Quantized types: tiles of 16 rows x 32 columns, or x 256 for K-quants, which are 8 groups of 32 columns.
// What a type has of these parts follows one another without gaps, numbers of two bytes little endian:
//
//   scales      16 fp16 numbers, one per row
//   minima      16 fp16 numbers, one per row (the K-quants' with the sign turned, so that all are added)
//   sub-scales  a group after the other, 32 bytes each: 16 bytes for the rows' first number, 16 for their
//               second
//   quants      a group after the other: the plane of low bits, then the plane of high bits
//
// A plane of b bits (1, 2, 4 or 8) holds b bits of the 32 x 16 quants of a group in b pieces of 64 bytes, in
// the order of 4-byte dot products against a broadcast activation: register i is columns 4 i to 4 i + 3, its
// byte 4 r + c is column 4 i + c of row r. Piece j holds the registers j * 8 / b + k for k < 8 / b, byte by
// byte, the k-th in the bits b k to b k + b - 1. So for 4 bits, byte 64 j + 4 r + c has column 8 j + c of row
// r in its low nibble and column 8 j + 4 + c in its high one; the two pieces of 2 bits are the halves of 16
// columns; bit i of the one piece of 1 bit is register i. A quant is low | high << (bits of low).
//
//          low  high  zero  scales, minima, sub-scales                                     tile    GGUF's
//   Q4_0    4    -      8   scales                                                        16x32   288   288
//   Q4_1    4    -      0   scales, minima                                                16x32   320   320
//   Q5_0    4    1     16   scales                                                        16x32   352   352
//   Q5_1    4    1      0   scales, minima                                                16x32   384   384
//   Q8_0    8    -    128   scales; quants are the file's + 128                           16x32   544   544
//   IQ4_NL  4    -    128   scales; a quant is a place in kIq4Levels                      16x32   288   288
//   Q2_K    2    -      0   scales, minima, sub-scales of both halves in low nibbles,
//                           their sub-minima in the high nibbles                          16x256 1344  1344
//   Q3_K    2    1      4   scales, signed sub-scales of both halves                      16x256 1824  1760
//   Q4_K    4    -      0   scales, minima, sub-scale, sub-minimum                        16x256 2368  2304
//   Q5_K    4    1      0   scales, minima, sub-scale, sub-minimum                        16x256 2880  2816
//   Q6_K    4    2     32   scales, signed sub-scales of both halves                      16x256 3360  3360
//
// (The last numbers are bytes of a tile, and of the same weights in the file.) Halves are the columns 0 to 15
// and 16 to 31 of a group. A weight is
//
//   (scale * sub-scale) * (level - zero) + (minimum * sub-minimum)
//
// without the factors that its type lacks, where level is the quant or, in IQ4_NL, kIq4Levels[quant]. In this
// order, float32 at every step, it is exactly what the `gguf` package computes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gguf/gguf.h"

namespace phonelm {

inline constexpr int kPanelRows = 16;
inline constexpr int kGroupSize = 32;
// Columns that share a scale in some types.
inline constexpr int kHalfGroup = kGroupSize / 2;
// Groups of a K-quant's tile.
inline constexpr int kSuperGroups = 8;

// IQ4_NL's levels + 128.
inline constexpr uint8_t kIq4Levels[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                           129, 141, 153, 166, 181, 197, 217, 241};

// What the two numbers of a row in a group's sub-scales are.
enum class SubScales {
  None,
  ScaleAndMinimum,      // unsigned bytes
  HalfScales,           // signed bytes, one a half
  HalfScalesAndMinima,  // one a half: scale in the low nibble, minimum in the high one
};

// What the comment above says of a quantized type, and what follows from it.
struct TileFormat {
  int low_bits;
  int high_bits;
  int zero;
  bool has_minimum;
  SubScales sub_scales = SubScales::None;
  bool has_levels = false;  // IQ4_NL

  constexpr int num_groups() const { return sub_scales == SubScales::None ? 1 : kSuperGroups; }
  // Pieces of a group that have a scale each.
  constexpr int num_scales() const {
    return sub_scales == SubScales::HalfScales || sub_scales == SubScales::HalfScalesAndMinima ? 2 : 1;
  }
  constexpr size_t sub_scales_at() const { return (has_minimum ? 2 : 1) * kPanelRows * sizeof(uint16_t); }
  static constexpr size_t sub_scales_bytes() { return 2 * kPanelRows; }
  constexpr size_t quants_at() const {
    return sub_scales_at() + (sub_scales == SubScales::None ? 0 : kSuperGroups * sub_scales_bytes());
  }
  constexpr size_t low_plane_bytes() const { return static_cast<size_t>(low_bits) * 64; }
  // Of a group's quants.
  constexpr size_t group_bytes() const { return static_cast<size_t>(low_bits + high_bits) * 64; }
  constexpr size_t num_bytes() const {
    return quants_at() + static_cast<size_t>(num_groups()) * group_bytes();
  }
};

constexpr bool is_quantized(TensorType type) {
  return type != TensorType::F32 && type != TensorType::F16 && type != TensorType::BF16;
}

// Of a quantized type.
constexpr TileFormat tile_format(TensorType type) {
  switch (type) {
    case TensorType::Q4_0:
      return {4, 0, 8, false};
    case TensorType::Q4_1:
      return {4, 0, 0, true};
    case TensorType::Q5_0:
      return {4, 1, 16, false};
    case TensorType::Q5_1:
      return {4, 1, 0, true};
    case TensorType::IQ4_NL:
      return {4, 0, 128, false, SubScales::None, true};
    case TensorType::Q2_K:
      return {2, 0, 0, true, SubScales::HalfScalesAndMinima};
    case TensorType::Q3_K:
      return {2, 1, 4, false, SubScales::HalfScales};
    case TensorType::Q4_K:
      return {4, 0, 0, true, SubScales::ScaleAndMinimum};
    case TensorType::Q5_K:
      return {4, 1, 0, true, SubScales::ScaleAndMinimum};
    case TensorType::Q6_K:
      return {4, 2, 32, false, SubScales::HalfScales};
    default:
      return {8, 0, 128, false};  // Q8_0
  }
}

struct PackedMatrix {
  TensorType type = TensorType::F32;
  int rows = 0;
  int cols = 0;
  int num_panels = 0;
  size_t panel_bytes = 0;
  const std::byte* data = nullptr;

  const std::byte* panel(int index) const { return data + static_cast<size_t>(index) * panel_bytes; }
  size_t num_bytes() const { return static_cast<size_t>(num_panels) * panel_bytes; }
  // Length of an output row with room for the last, partly filled panel.
  int padded_rows() const { return num_panels * kPanelRows; }
  bool quantized() const { return is_quantized(type); }
};

// Bytes of a tile and its columns.
size_t tile_bytes(TensorType type);
int tile_cols(TensorType type);

// The shape of a packed matrix, without data.
PackedMatrix packed_layout(TensorType type, int rows, int cols);

// Packs the panels [begin, end) from GGUF's row-major blocks; rows past the end become zeros.
void pack_panels(const PackedMatrix& matrix, const std::byte* source, int begin, int end, std::byte* target);

// One row as floats: the embedding lookup.
void unpack_row(const PackedMatrix& matrix, int row, float* out);

}  // namespace phonelm
