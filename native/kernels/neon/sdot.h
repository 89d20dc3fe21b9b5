// Integer sums with `sdot`, which multiplies 4 rows x 4 columns with 4 activations, a lane of the token's,
// and adds into 4 rows' int32 sums.
#pragma once

#include "kernels/neon/one_token.h"

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

struct OneToken : ByRows {
  static constexpr int steps = 2;

  template <TensorType, int first, int num>
  [[gnu::always_inline]] static void multiply(const FourRows (&w)[2], const int8_t* x, int32x4_t (&dots)[2]) {
    unrolled<num>([&]<int k>() {
      constexpr int i = first + k;
      const int8x16_t quants = vld1q_s8(x + i / 4 * 16);
      for (int r = 0; r < 2; ++r) dots[r] = vdotq_laneq_s32(dots[r], w[r][i], quants, i % 4);
    });
  }
};

}  // namespace
}  // namespace phonelm
