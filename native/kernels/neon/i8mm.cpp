#include "kernels/byte_panels.h"
#include "kernels/neon/sdot.h"

namespace phonelm {
namespace {

// A pair of rows and a pair of tokens make a register: (r, t), (r, t + 1), (r + 1, t), (r + 1, t + 1).
template <TensorType type>
struct Several {
  static constexpr int tokens = 2;
  static constexpr int vectors = 8;
  int32x4_t pairs[8];

  Several() = default;
  explicit Several(const int32_t* offsets) {
    const int32x2_t both =
        vset_lane_s32(start_value<type>(offsets + 1), vdup_n_s32(start_value<type>(offsets)), 1);
    for (auto& pair : pairs) pair = vcombine_s32(both, both);
  }
  template <int chunk>
  void add(const Chunk& w, const int8_t* x) {
    const int8x16_t quants = vcombine_s8(vld1_s8(x + 8 * chunk), vld1_s8(x + kGroupSize + 8 * chunk));
    for (int v = 0; v < 8; ++v) pairs[v] = vmmlaq_s32(pairs[v], w[v % 2][v / 2], quants);
  }
  int32x4_t sums(int v) const { return pairs[v]; }

  // w[0][r] becomes the 8 columns of rows 4 r and 4 r + 1, w[1][r] those of the next two.
  static void arrange(Chunk& w) {
    for (int r = 0; r < 4; ++r) {
      const int32x4_t first = vreinterpretq_s32_s8(w[0][r]);
      const int32x4_t second = vreinterpretq_s32_s8(w[1][r]);
      w[0][r] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
      w[1][r] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
    }
  }
  static void spread_rows(const float32x4_t (&rows)[4], float32x4_t (&values)[8]) {
    for (int r = 0; r < 4; ++r) {
      values[2 * r] = vzip1q_f32(rows[r], rows[r]);
      values[2 * r + 1] = vzip2q_f32(rows[r], rows[r]);
    }
  }
  static float32x4_t spread_tokens(const float* values) {
    const float32x2_t both = vld1_f32(values);
    return vcombine_f32(both, both);
  }
  static void store(const float32x4_t (&sums)[8], float* out, int out_stride, bool accumulate) {
    float32x4_t first[4];
    float32x4_t second[4];
    for (int r = 0; r < 4; ++r) {
      first[r] = vuzp1q_f32(sums[2 * r], sums[2 * r + 1]);
      second[r] = vuzp2q_f32(sums[2 * r], sums[2 * r + 1]);
    }
    store_rows(first, out, accumulate);
    store_rows(second, out + out_stride, accumulate);
  }
};
constexpr int kBatch = 4;

}  // namespace
}  // namespace phonelm

#include "kernels/neon/neurons.h"
#include "kernels/neon/panels.h"
#include "kernels/tables.h"

namespace phonelm {

const Kernels kI8mmKernels{"i8mm",        matmul,        neuron_rows,    neuron_columns,    half_panels,
                           quantize<Vec>, rms_norm<Vec>, activate<Vec>,  exponentiate<Vec>, maximum<Vec>,
                           scale<Vec>,    to_half,       byte_keys<Vec>, byte_values<Vec>};

}  // namespace phonelm
