// Weights as the kernels read them. A matrix is cut into panels of 16 rows; a panel is a run of tiles along
// its columns, so that a thread that owns some panels streams one contiguous piece of memory.
//
//   Q4_0   tile of 16 x 32: 16 fp16 scales, 256 bytes of nibbles                                   288 bytes
//   Q4_1   tile of 16 x 32: 16 fp16 scales, 16 fp16 minima, 256 bytes of nibbles                   320 bytes
//   Q8_0   tile of 16 x 32: 16 fp16 scales, 512 bytes, each weight + 128 (unsigned)                544 bytes
//   F32, F16, BF16   tile of 16 x 1: the 16 values of a column                             64 / 32 / 32 bytes
//
// Order inside the quants, made for 4-byte dot products against a broadcast activation: 4-bit, byte 64 j + 4
// r + b holds column 8 j + b of row r in its low nibble and column 8 j + 4 + b in its high one; 8-bit, byte
// 64 j + 4 r + b holds column 4 j + b of row r.
//
// A 4- or 8-bit weight is scale * (quant - zero) [+ minimum], with zero = 8, 128 or (Q4_1) 0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gguf/gguf.h"

namespace phonelm {

inline constexpr int kPanelRows = 16;
inline constexpr int kGroupSize = 32;

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
  bool quantized() const {
    return type == TensorType::Q4_0 || type == TensorType::Q4_1 || type == TensorType::Q8_0;
  }
};

// Bytes of a tile and its columns.
size_t tile_bytes(TensorType type);
int tile_cols(TensorType type);

// The shape of a packed matrix, without data.
PackedMatrix packed_layout(TensorType type, int rows, int cols);

// Packs the panels [begin, end) from GGUF's row-major blocks; rows past the end become zeros.
void pack_panels(const PackedMatrix& matrix, const std::byte* source, int begin, int end, std::byte* target);

// One row as floats: the embedding look-up.
void unpack_row(const PackedMatrix& matrix, int row, float* out);

}  // namespace phonelm
