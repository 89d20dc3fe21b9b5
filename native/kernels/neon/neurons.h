// Kernels of a ReLU FFN's active neurons (kernels/neurons.h), one token.
//
// A row takes 4 groups at a time, a lane each, with `Quad<type>` of the including file: 4 sums of 4 products
// each. A group of down's columns takes 64 rows at a time: a column's 32 bytes become 64 nibbles, and `smlal`
// adds their products with the column's activation into int16 sums, which hold a whole group: 32 * 8 * 127 <
// 2^15 once the zero point is in their start value. 8-bit columns meet both terms in one, as 16-bit numbers.
#pragma once

#include "kernels/live_columns.h"
#include "kernels/neon/weights.h"

namespace phonelm {
namespace {

// `count` numbers of 4 bytes, at most 4 of them, and zeros.
inline uint8x16_t load_lanes(const void* data, int count) {
  if (count >= 4) return Bytes::load(data);
  uint8_t bytes[16] = {};
  std::memcpy(bytes, data, static_cast<size_t>(4 * count));
  return Bytes::load(bytes);
}

// 4 groups of a row, of which `count` are there: their dot products with both terms, each a Quad. The
// groups' pieces lie `step` bytes apart, those of the activations 64.
template <TensorType type>
inline void multiply_groups(const std::byte* quants, size_t step, int count, const int8_t* x,
                            const int8_t* residual_x, Quad<type>& dots, Quad<type>& residual_dots) {
  unrolled<4>([&]<int i>() {
    int8x16_t w[2];
    if constexpr (type == TensorType::Q8_0) {
      for (size_t p = 0; p < 2; ++p) {
        w[p] = to_signed(load_lanes(quants + (2 * i + p) * step, count));
      }
    } else {
      split_nibbles(load_lanes(quants + i * step, count), w[0], w[1]);
    }
    dots.add(w[0], w[1], vld1q_s8(x + 128 * i), vld1q_s8(x + 128 * i + 64));
    residual_dots.add(w[0], w[1], vld1q_s8(residual_x + 128 * i), vld1q_s8(residual_x + 128 * i + 64));
  });
}

template <TensorType type>
inline float neuron_row(const NeuronRows& weights, const std::byte* row, const Activations& input,
                        const int8_t* x, const int8_t* residual_x) {
  constexpr size_t group_bytes = type == TensorType::Q8_0 ? 32 : 16;
  const float32x4_t residual_step = vdupq_n_f32(1.0f / kResidualSteps);
  float32x4_t sums = vdupq_n_f32(0.0f);
  for (int first = 0; first < weights.num_groups(); first += 4) {
    const int rest = weights.num_groups() - first;
    const auto begin = static_cast<size_t>(first / kRunGroups * kRunGroups);
    const int in_run = weights.num_groups() - static_cast<int>(begin);
    const size_t place = static_cast<size_t>(first) - begin;
    const std::byte* quants = row + weights.scales_bytes() + begin * group_bytes + 4 * place;
    const size_t at = begin * kGroupSize + 4 * place;
    Quad<type> dots, residual_dots;
    multiply_groups<type>(quants, 4 * static_cast<size_t>(in_run < kRunGroups ? in_run : kRunGroups), rest,
                          x + at, residual_x + at, dots, residual_dots);
    const auto total = [&](const Quad<type>& dot, const int32_t* offsets) {
      if constexpr (type == TensorType::Q8_0) return vcvtq_f32_s32(dot.sums());
      const int32x4_t start = vreinterpretq_s32_u8(load_lanes(offsets + first, rest));
      return vcvtq_f32_s32(vaddq_s32(dot.sums(), start));
    };
    const float32x4_t both =
        vfmaq_f32(total(dots, input.offsets), total(residual_dots, input.residual_offsets), residual_step);
    const float32x4_t tokens = vreinterpretq_f32_u8(load_lanes(input.scales + first, rest));
    sums = vfmaq_f32(sums, both, vmulq_f32(load_halves(row + 2 * first), tokens));
  }
  return vaddvq_f32(sums);
}

void neuron_rows(const NeuronRows& weights, const int32_t* neurons, int num_neurons, const Activations& input,
                 int8_t* scratch, float* out) {
  for_live_rows(weights, neurons, num_neurons, input, scratch, out,
                [&]<TensorType type>(const std::byte* row, const int8_t* x, const int8_t* residual_x) {
                  return neuron_row<type>(weights, row, input, x, residual_x);
                });
}

// 4 rows of a group: out += scales * factor * dot.
inline void add_rows(const std::byte* scales, int32x4_t dot, float32x4_t factor, float* out) {
  const float32x4_t sum = vmulq_f32(vcvtq_f32_s32(dot), factor);
  vst1q_f32(out, vfmaq_f32(vld1q_f32(out), load_halves(scales), sum));
}

// Sums of 32 bytes of nibbles with one term; [k][high][half] of the bytes 16 k + 8 half on.
struct NibbleSums {
  int16x8_t values[2][2][2];

  explicit NibbleSums(int32_t start) {
    unrolled<8>([&]<int i>() { at<i>() = vdupq_n_s16(static_cast<int16_t>(start)); });
  }
  template <int i>
  int16x8_t& at() {
    return values[i / 4][i / 2 % 2][i % 2];
  }
  void add(const int8x16_t (&w)[2][2], const int8_t* quant) {
    const int8x16_t x = vld1q_dup_s8(quant);
    unrolled<4>([&]<int i>() {
      at<2 * i>() = vmlal_s8(at<2 * i>(), vget_low_s8(w[i / 2][i % 2]), vget_low_s8(x));
      at<2 * i + 1>() = vmlal_high_s8(at<2 * i + 1>(), w[i / 2][i % 2], x);
    });
  }
};

inline void add_nibble_columns(const LiveColumns& live, const std::byte* scales, int row, float* out) {
  NibbleSums sums(live.offset);
  NibbleSums residual_sums(live.residual_offset);
  const auto* quants = reinterpret_cast<const int8_t*>(live.pairs);
  const auto* residual_quants = reinterpret_cast<const int8_t*>(live.residual_pairs);
  for (int i = 0; i < 2 * live.num_pairs; ++i) {
    int8x16_t w[2][2];
    for (int k = 0; k < 2; ++k) {
      split_nibbles(Bytes::load(live.columns[i] + row / 2 + 16 * k), w[k][0], w[k][1]);
    }
    const int place = i / 2 * 4 + i % 2;
    sums.add(w, quants + place);
    residual_sums.add(w, residual_quants + place);
  }
  // Both terms become one number: low + 254 x high.
  constexpr auto steps = static_cast<int16_t>(kResidualSteps);
  const float32x4_t factor = vdupq_n_f32(live.scale / kResidualSteps);
  unrolled<8>([&]<int i>() {
    const int16x8_t dots = sums.at<i>();
    const int16x8_t residual_dots = residual_sums.at<i>();
    const int first = row + 32 * (i / 2 % 2) + 4 * (i / 4 * 2 + i % 2);
    const int32x4_t front = vmlal_n_s16(vmovl_s16(vget_low_s16(residual_dots)), vget_low_s16(dots), steps);
    const int32x4_t back = vmlal_high_n_s16(vmovl_high_s16(residual_dots), dots, steps);
    add_rows(scales + 2 * first, front, factor, out + first);
    add_rows(scales + 2 * (first + 16), back, factor, out + first + 16);
  });
}

inline void add_byte_columns(const LiveColumns& live, const std::byte* scales, int row, float* out) {
  const float32x4_t factor = vdupq_n_f32(live.scale / kResidualSteps);
  const auto* quants = reinterpret_cast<const int16_t*>(live.wide_pairs);
  for (int first = row; first < row + kColumnRows; first += 16) {
    int32x4_t dots[4] = {};
    for (int i = 0; i < 2 * live.num_pairs; ++i) {
      const int8x16_t w = vreinterpretq_s8_u8(Bytes::load(live.columns[i] + first));
      const int16x8_t front = vmovl_s8(vget_low_s8(w));
      const int16x8_t back = vmovl_high_s8(w);
      dots[0] = vmlal_n_s16(dots[0], vget_low_s16(front), quants[i]);
      dots[1] = vmlal_high_n_s16(dots[1], front, quants[i]);
      dots[2] = vmlal_n_s16(dots[2], vget_low_s16(back), quants[i]);
      dots[3] = vmlal_high_n_s16(dots[3], back, quants[i]);
    }
    for (int r = 0; r < 4; ++r) {
      add_rows(scales + 2 * (first + 4 * r), dots[r], factor, out + first + 4 * r);
    }
  }
}

void neuron_columns(const NeuronColumns& weights, int begin, int end, const Activations& input, float* out) {
  const bool four_bit = weights.type == TensorType::Q4_0;
  for_live_groups(weights, begin, end, input, [&](const LiveColumns& live, const std::byte* scales) {
    for (int row = begin; row < end; row += kColumnRows) {
      four_bit ? add_nibble_columns(live, scales, row, out) : add_byte_columns(live, scales, row, out);
    }
  });
}

}  // namespace
}  // namespace phonelm
