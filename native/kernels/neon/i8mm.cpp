// ARMv8.2 with 8-bit matrix products (Cortex-A510, A710, X2 and all later ones): `smmla` multiplies 2 rows x
// 8 columns with 2 tokens, 32 multiply-adds, twice what `sdot` does. Tokens without a pair and single
// ones go the way of sdot.h.
//
// Two tokens and 8 rows of a group: of Q4_0, 67 instructions for 512 multiply-adds, about 38 of them on the
// vector pipes: 16 `smmla`, 4 conversions, 4 multiplications, 4 multiply-adds and what puts tokens side by
// side. With two vector pipes (A710) the bound is 27 multiply-adds per cycle, with four (X2) 54; scales of
// groups of 32 cost nearly as much as the products do. A residual term that only one of two tokens has costs
// as much as both. Counted in what GCC 12 makes of it; no processor was there to measure.
#include "kernels/byte_panels.h"
#include "kernels/neon/sdot.h"

namespace phonelm {
namespace {

// A pair of rows and a pair of tokens make a register: (r, t), (r, t + 1), (r + 1, t), (r + 1, t + 1).
struct SomeTokens {
  static constexpr int tokens = 2;
  static constexpr int vectors = 4;
  static constexpr int steps = 1;

  // Registers 2 c and 2 c + 1 become 8 columns of the first two rows and of the other two.
  static void arrange(FourRows& w) {
    unrolled<kGroupRegisters / 2>([&]<int c>() {
      const int32x4_t first = vreinterpretq_s32_s8(w[2 * c]);
      const int32x4_t second = vreinterpretq_s32_s8(w[2 * c + 1]);
      w[2 * c] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
      w[2 * c + 1] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
    });
  }

  template <TensorType, int first, int num>
  [[gnu::always_inline]] static void multiply(const FourRows (&w)[2], const int8_t* x, int32x4_t (&dots)[4]) {
    unrolled<num / 2>([&]<int k>() {
      constexpr int i = first + 2 * k;
      const int8x16_t quants = vcombine_s8(vld1_s8(x + 4 * i), vld1_s8(x + kGroupSize + 4 * i));
      unrolled<4>([&]<int v>() { dots[v] = vmmlaq_s32(dots[v], w[v / 2][i + v % 2], quants); });
    });
  }

  static void spread(const float32x4_t (&rows)[2], float32x4_t (&values)[4]) {
    for (int r = 0; r < 2; ++r) {
      values[2 * r] = vzip1q_f32(rows[r], rows[r]);
      values[2 * r + 1] = vzip2q_f32(rows[r], rows[r]);
    }
  }
  static float32x4_t by_token(const float* values, int step) {
    const float32x2_t both = vset_lane_f32(values[step], vdup_n_f32(values[0]), 1);
    return vcombine_f32(both, both);
  }
  static int32x4_t by_token(const int32_t* values, int step) {
    const int32x2_t both = vset_lane_s32(values[step], vdup_n_s32(values[0]), 1);
    return vcombine_s32(both, both);
  }
  // Zero for a token whose bit is not set.
  static float32x4_t keep(float32x4_t values, unsigned bits) {
    const uint64_t mask = (bits & 1 ? 0xffffffffu : 0u) | (bits & 2 ? ~uint64_t{0xffffffffu} : 0u);
    const uint32x4_t kept =
        vandq_u32(vreinterpretq_u32_f32(values), vreinterpretq_u32_u64(vdupq_n_u64(mask)));
    return vreinterpretq_f32_u32(kept);
  }
  static void store(const float32x4_t (&sums)[4], float* out, int out_stride, bool accumulate) {
    for (int r = 0; r < 2; ++r, out += 4) {
      store_four(vuzp1q_f32(sums[2 * r], sums[2 * r + 1]), out, accumulate);
      store_four(vuzp2q_f32(sums[2 * r], sums[2 * r + 1]), out + out_stride, accumulate);
    }
  }
};

}  // namespace
}  // namespace phonelm

#include "kernels/neon/neurons.h"
#include "kernels/neon/panels.h"
#include "kernels/tables.h"

namespace phonelm {

namespace {

constexpr Kernels i8mm_table() {
  Kernels kernels = vector_kernels<Vec>("i8mm");
  kernels.matmul = matmul;
  kernels.neuron_rows = neuron_rows;
  kernels.neuron_columns = neuron_columns;
  kernels.half_panels = half_panels;
  kernels.to_half = to_half;
  return kernels;
}

}  // namespace

constinit const Kernels kI8mmKernels = i8mm_table();

}  // namespace phonelm
