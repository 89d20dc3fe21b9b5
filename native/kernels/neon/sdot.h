// Integer sums with `sdot`, which multiplies 4 rows x 4 columns with 4 activations, a lane of the token's,
// and adds into 4 rows' int32 sums.
#pragma once

#include "kernels/neon/tiles.h"

namespace phonelm {
namespace {

// 4 sums of 4 neighbouring bytes' products each.
template <TensorType>
struct Quad {
  int32x4_t total = vdupq_n_s32(0);

  void add(int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1) {
    total = vdotq_s32(vdotq_s32(total, w0, x0), w1, x1);
  }
  int32x4_t sums() const { return total; }
};

template <TensorType type>
struct Single : ByRows {
  int32x4_t rows[4];

  Single() = default;
  explicit Single(const int32_t* offset) {
    for (auto& row : rows) row = vdupq_n_s32(start_value<type>(offset));
  }
  template <int chunk>
  void add(const Chunk& w, const int8_t* x) {
    const int8x16_t quants = vld1q_s8(x + chunk / 2 * 16);
    for (int r = 0; r < 4; ++r) rows[r] = vdotq_laneq_s32(rows[r], w[0][r], quants, chunk % 2 * 2);
    for (int r = 0; r < 4; ++r) rows[r] = vdotq_laneq_s32(rows[r], w[1][r], quants, chunk % 2 * 2 + 1);
  }
  int32x4_t sums(int r) const { return rows[r]; }
};

}  // namespace
}  // namespace phonelm
