#include "kernels/byte_panels.h"
#include "kernels/neon/tiles.h"

namespace phonelm {
namespace {

// Whether 8 products of the type's quants with activations fit into int16 beside a quarter of the zero
// point's part: 8 * 15 * 127 + 8 * 32 * 127 / 4 < 2^15. Of 8-bit quants two do: 2 * 128 * 127.
template <TensorType type>
constexpr bool kIsNarrow = type != TensorType::Q8_0;

// 4 sums of 4 neighbouring bytes' products each; the lower two's parts apart from the others'.
template <bool is_narrow>
struct Parts {
  int16x8_t low = vdupq_n_s16(0);
  int16x8_t high = vdupq_n_s16(0);

  void start(int32_t value) { low = high = vdupq_n_s16(static_cast<int16_t>(value / 4)); }
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

  void start(int32_t) {}
  void add(int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1) {
    const int16x8_t first = vmull_s8(vget_low_s8(w0), vget_low_s8(x0));
    low = vpadalq_s16(low, vmlal_s8(first, vget_low_s8(w1), vget_low_s8(x1)));
    high = vpadalq_s16(high, vmlal_high_s8(vmull_high_s8(w0, x0), w1, x1));
  }
  int32x4_t sums() const { return vpaddq_s32(low, high); }
};

template <TensorType type>
using Quad = Parts<kIsNarrow<type>>;

inline int8x16_t four_quants(const int8_t* x) {
  int32_t bytes;
  std::memcpy(&bytes, x, sizeof bytes);
  return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

template <TensorType type>
struct Single : ByRows {
  Quad<type> rows[4];

  Single() = default;
  explicit Single(const int32_t* offset) {
    for (auto& row : rows) row.start(start_value<type>(offset));
  }
  template <int chunk>
  void add(const Chunk& w, const int8_t* x) {
    const int8x16_t first = four_quants(x + 8 * chunk);
    const int8x16_t second = four_quants(x + 8 * chunk + 4);
    for (int r = 0; r < 4; ++r) rows[r].add(w[0][r], w[1][r], first, second);
  }
  int32x4_t sums(int r) const { return rows[r].sums(); }
};

template <TensorType type>
using Several = Single<type>;
constexpr int kBatch = 2;

}  // namespace
}  // namespace phonelm

#include "kernels/neon/neurons.h"
#include "kernels/neon/panels.h"
#include "kernels/tables.h"

namespace phonelm {

const Kernels kNeonKernels{"neon",        matmul,        neuron_rows,    neuron_columns,    half_panels,
                           quantize<Vec>, rms_norm<Vec>, activate<Vec>,  exponentiate<Vec>, maximum<Vec>,
                           scale<Vec>,    to_half,       byte_keys<Vec>, byte_values<Vec>};

}  // namespace phonelm
