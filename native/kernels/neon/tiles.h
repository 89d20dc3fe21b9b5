// A tile's quants as signed bytes. A tile is 4 chunks of 8 columns; a chunk is 8 registers: w[p][r] holds
// columns 4 p to 4 p + 3 of rows 4 r to 4 r + 3.
#pragma once

#include "kernels/neon/floats.h"

namespace phonelm {
namespace {

using Chunk = int8x16_t[2][4];
constexpr int kChunks = 4;

template <TensorType type>
inline constexpr bool kHasMinimum = type == TensorType::Q4_1;
template <TensorType type>
inline constexpr bool kIsQuantized =
    type == TensorType::Q4_0 || type == TensorType::Q4_1 || type == TensorType::Q8_0;

template <TensorType type>
inline constexpr size_t kScalesBytes = kHasMinimum<type> ? 64 : 32;
template <TensorType type>
inline constexpr size_t kTileBytes = kScalesBytes<type> + (type == TensorType::Q8_0 ? 512 : 256);

// What the zero point adds to a token's dot products; Q8_0's is taken off its quants.
template <TensorType type>
inline int32_t start_value(const int32_t* offset) {
  return type == TensorType::Q4_0 ? *offset : 0;
}

template <TensorType type>
inline void unpack(const std::byte* quants, int chunk, Chunk& w) {
  for (int r = 0; r < 4; ++r) {
    if constexpr (type == TensorType::Q8_0) {
      w[0][r] = to_signed(load_bytes(quants + 128 * chunk + 16 * r));
      w[1][r] = to_signed(load_bytes(quants + 128 * chunk + 64 + 16 * r));
    } else {
      const int8x16_t bytes = load_bytes(quants + 64 * chunk + 16 * r);
      w[0][r] = low_nibbles(bytes);
      w[1][r] = high_nibbles(bytes);
    }
  }
}

// The order of the sums of 16 rows and one token: by rows.
struct ByRows {
  static constexpr int tokens = 1;
  static constexpr int vectors = 4;

  static void arrange(Chunk&) {}
  static void spread_rows(const float32x4_t (&rows)[4], float32x4_t (&values)[4]) {
    for (int r = 0; r < 4; ++r) values[r] = rows[r];
  }
  static float32x4_t spread_tokens(const float* value) { return vdupq_n_f32(*value); }
  static void store(const float32x4_t (&sums)[4], float* out, int, bool accumulate) {
    store_rows(sums, out, accumulate);
  }
};

}  // namespace
}  // namespace phonelm
