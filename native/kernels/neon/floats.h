// Products with float weights: matrices of F32, F16 and BF16, and attention's fp16 panels. A column of 16
// rows is 4 registers, converted once for up to 4 tokens: 16 `fmla` for 4 conversions. All tokens' sums are
// taken in the columns' order, so that a token's result does not depend on which others came with it.
#pragma once

#include "kernels/neon/vectors.h"

namespace phonelm {
namespace {

template <TensorType type>
inline void load_column(const std::byte* data, float32x4_t (&w)[4]) {
  if constexpr (type == TensorType::F32) {
    for (int r = 0; r < 4; ++r) w[r] = vld1q_f32(reinterpret_cast<const float*>(data) + 4 * r);
  } else if constexpr (type == TensorType::F16) {
    for (int r = 0; r < 4; ++r) w[r] = load_halves(data + 8 * r);
  } else {
    for (int r = 0; r < 4; ++r) {
      const uint16x4_t bits = vld1_u16(reinterpret_cast<const uint16_t*>(data) + 4 * r);
      w[r] = vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
    }
  }
}

// 16 columns of `out`, `num` rows: a [num, num_k] times columns that lie `step` bytes apart.
template <TensorType type, int num>
inline void multiply_columns(const std::byte* column, size_t step, int num_k, const float* a, int a_stride,
                             float* out, int out_stride, bool accumulate) {
  float32x4_t sums[num][4] = {};
  float32x4_t w[4];
  int k = 0;
  for (; k + 4 <= num_k; k += 4) {
    float32x4_t x[num];
    for (int t = 0; t < num; ++t) x[t] = vld1q_f32(a + t * a_stride + k);
    unrolled<4>([&]<int lane>() {
      load_column<type>(column, w);
      column += step;
      for (int t = 0; t < num; ++t) {
        for (int r = 0; r < 4; ++r) sums[t][r] = vfmaq_laneq_f32(sums[t][r], w[r], x[t], lane);
      }
    });
  }
  for (; k < num_k; ++k, column += step) {
    load_column<type>(column, w);
    for (int t = 0; t < num; ++t) {
      for (int r = 0; r < 4; ++r) sums[t][r] = vfmaq_n_f32(sums[t][r], w[r], a[t * a_stride + k]);
    }
  }
  for (int t = 0; t < num; ++t) {
    for (int r = 0; r < 4; ++r) store_four(sums[t][r], out + t * out_stride + 4 * r, accumulate);
  }
}

template <TensorType type>
inline void float_panel(const std::byte* panel, int cols, const Activations& input, float* out,
                        int out_stride, bool accumulate) {
  constexpr size_t step = kPanelRows * (type == TensorType::F32 ? 4 : 2);
  in_batches<4, 3, 2, 1>(input.num_tokens, [&]<int num>(int token) {
    const auto place = static_cast<size_t>(token);
    multiply_columns<type, num>(panel, step, cols, input.values + place * static_cast<size_t>(input.stride),
                                input.stride, out + place * static_cast<size_t>(out_stride), out_stride,
                                accumulate);
  });
}

void half_panels(const HalfPanels& w, const float* a, int a_stride, int num_rows, float* out, int out_stride,
                 bool accumulate) {
  const size_t step = static_cast<size_t>(w.stride) * sizeof(uint16_t);
  in_batches<4, 3, 2, 1>(num_rows, [&]<int num>(int row) {
    for (int panel = 0; panel < w.num_panels; ++panel) {
      multiply_columns<TensorType::F16, num>(
          reinterpret_cast<const std::byte*>(w.panel(panel)), step, w.num_k, a + row * a_stride, a_stride,
          out + row * out_stride + panel * kPanelRows, out_stride, accumulate);
    }
  });
}

void to_half(const float* x, int size, uint16_t* out) {
  const auto convert = [](const float* from) { return vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(from))); };
  int i = 0;
  for (; i + 4 <= size; i += 4) vst1_u16(out + i, convert(x + i));
  if (i == size) return;
  float tail[4] = {};
  std::memcpy(tail, x + i, static_cast<size_t>(size - i) * sizeof(float));
  const uint16x4_t halves = convert(tail);
  std::memcpy(out + i, &halves, static_cast<size_t>(size - i) * sizeof(uint16_t));
}

}  // namespace
}  // namespace phonelm
