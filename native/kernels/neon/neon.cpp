// Plain ARMv8.0 (Cortex-A53, A57, A72, A73): `smlal` multiplies 8 bytes with 8 and adds into int16.
//
// One token and 8 rows of a group: of Q4_0, 86 instructions for 256 multiply-adds, about 53 of them on the
// vector pipe: 32 multiplications, 8 copies of 4 quants to all lanes, 4 pairwise additions to int32, 2 of
// those, and 6 to scale the sums. 8-bit types widen 16 times more. A Cortex-A53, which starts one 128-bit
// instruction a cycle beside a load, is bound to 4.8 multiply-adds per cycle, an A72, whose multiplications
// have one of two pipes, to 8. Counted in what GCC 12 makes of it; no processor was there to measure.
#include "kernels/byte_panels.h"
#include "kernels/neon/one_token.h"

namespace phonelm {
namespace {

// 4 sums of 4 neighbouring bytes' products each; the lower two's parts apart from the others'. What is narrow
// are unsigned levels, of which all there are (8 of up to 5 bits, or 4 of 6) can be added in int16: 8 * 31 *
// 127 < 2^15. Of 8-bit quants two can: 2 * 128 * 127.
template <bool is_narrow>
struct Parts {
  int16x8_t low = vdupq_n_s16(0);
  int16x8_t high = vdupq_n_s16(0);

  void add(int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1) {
    low = vmlal_s8(vmlal_s8(low, vget_low_s8(w0), vget_low_s8(x0)), vget_low_s8(w1), vget_low_s8(x1));
    high = vmlal_high_s8(vmlal_high_s8(high, w0, x0), w1, x1);
  }
  int32x4_t sums() const { return vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)); }
};

template <>
struct Parts<false> {
  int32x4_t low = vdupq_n_s32(0);
  int32x4_t high = vdupq_n_s32(0);

  void add(int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1) {
    const int16x8_t first = vmull_s8(vget_low_s8(w0), vget_low_s8(x0));
    low = vpadalq_s16(low, vmlal_s8(first, vget_low_s8(w1), vget_low_s8(x1)));
    high = vpadalq_s16(high, vmlal_high_s8(vmull_high_s8(w0, x0), w1, x1));
  }
  int32x4_t sums() const { return vpaddq_s32(low, high); }
};

template <TensorType type>
using Quad = Parts<tile_format(type).zero != 128>;

inline int8x16_t four_quants(const int8_t* x) {
  int32_t bytes;
  std::memcpy(&bytes, x, sizeof bytes);
  return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

struct OneToken : ByRows {
  static constexpr int steps = 1;

  template <TensorType type, int first, int num>
  [[gnu::always_inline]] static void multiply(const FourRows (&w)[2], const int8_t* x, int32x4_t (&dots)[2]) {
    Quad<type> quads[2];
    unrolled<num / 2>([&]<int k>() {
      constexpr int i = first + 2 * k;
      const int8x16_t x0 = four_quants(x + 4 * i);
      const int8x16_t x1 = four_quants(x + 4 * i + 4);
      for (int r = 0; r < 2; ++r) quads[r].add(w[r][i], w[r][i + 1], x0, x1);
    });
    for (int r = 0; r < 2; ++r) dots[r] = vaddq_s32(dots[r], quads[r].sums());
  }
};

using SomeTokens = OneToken;

}  // namespace
}  // namespace phonelm

#include "kernels/neon/neurons.h"
#include "kernels/neon/panels.h"
#include "kernels/tables.h"

namespace phonelm {

namespace {

constexpr Kernels neon_table() {
  Kernels kernels = vector_kernels<Vec>("neon");
  kernels.matmul = matmul;
  kernels.neuron_rows = neuron_rows;
  kernels.neuron_columns = neuron_columns;
  kernels.half_panels = half_panels;
  kernels.to_half = to_half;
  return kernels;
}

}  // namespace

constinit const Kernels kNeonKernels = neon_table();

}  // namespace phonelm
