// Kernels of a ReLU FFN's active neurons (kernels/neurons.h), one token.
//
// A row takes 16 groups at a time, a lane each: of Q4_0, 4 loads become 8 registers of unsigned bytes, 16
// `vpdpbusd` meet both terms of the activations, and two conversions and three multiply-adds scale them:
// about 36 instructions for 288 bytes, as in a panel.
//
// A group of down's columns takes 64 rows at a time: the bytes of two columns side by side, nibbles apart,
// meet both columns' quants in `vpmaddubsw`, whose int16 sums hold a whole group: 32 x 8 x 127 < 2^15 once
// the zero point is in their start value, so that wrapping around on the way does no harm. 17 instructions
// for 64 bytes of weights, and 30 for each group's 64 rows to become floats, which is what bounds it when few
// are live.
//
// Measured on Zen 4 from the L2 cache, bytes per cycle and core: rows 8.4; columns 5.8 with all live, 5.2
// with a tenth (scales included). Panels: 11.
#pragma once

#include "kernels/avx512/vectors.h"
#include "kernels/live_columns.h"

namespace phonelm {
namespace {

// 16 groups, or the last ones of a row, whose lanes `there` names: their dot products with one term.
struct RunDots {
  __m512i dot;
  __m512i residual_dot;

  void add(__m512i w, const int8_t* x, const int8_t* residual_x) {
    dot = _mm512_dpbusd_epi32(dot, w, _mm512_loadu_si512(x));
    residual_dot = _mm512_dpbusd_epi32(residual_dot, w, _mm512_loadu_si512(residual_x));
  }
};

template <TensorType type>
inline RunDots dot_run(const std::byte* quants, __mmask16 there, int num_groups, const int8_t* x,
                       const int8_t* residual_x, RunDots dots) {
  const __m512i low = _mm512_set1_epi8(15);
#pragma GCC unroll 8
  for (int piece = 0; piece < (type == TensorType::Q8_0 ? 8 : 4); ++piece, quants += 4 * num_groups) {
    const __m512i bytes = _mm512_maskz_loadu_epi32(there, quants);
    if constexpr (type == TensorType::Q8_0) {
      dots.add(bytes, x + 64 * piece, residual_x + 64 * piece);
    } else {
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low);
      dots.add(_mm512_and_si512(bytes, low), x + 128 * piece, residual_x + 128 * piece);
      dots.add(high, x + 128 * piece + 64, residual_x + 128 * piece + 64);
    }
  }
  return dots;
}

template <TensorType type>
inline float neuron_row(const NeuronRows& weights, const std::byte* row, const Activations& input,
                        const int8_t* x, const int8_t* residual_x) {
  const std::byte* quants = row + weights.scales_bytes();
  const __m512 residual_step = _mm512_set1_ps(1.0f / kResidualSteps);
  const auto start = [&](__mmask16 there, const int32_t* offsets) {
    const __m512i values = _mm512_maskz_loadu_epi32(there, offsets);
    return type == TensorType::Q8_0 ? _mm512_slli_epi32(values, 4) : values;
  };
  __m512 sums = _mm512_setzero_ps();
  for (int first = 0; first < weights.num_groups(); first += kRunGroups) {
    const int rest = weights.num_groups() - first;
    const int count = rest < kRunGroups ? rest : kRunGroups;
    const auto there = static_cast<__mmask16>((1u << count) - 1);
    const RunDots dots =
        dot_run<type>(quants, there, count, x, residual_x,
                      {start(there, input.offsets + first), start(there, input.residual_offsets + first)});
    const __m512 both =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots.residual_dot), residual_step, _mm512_cvtepi32_ps(dots.dot));
    const __m512 factors =
        _mm512_mul_ps(load_halves(row + 2 * first), _mm512_maskz_loadu_ps(there, input.scales + first));
    sums = _mm512_fmadd_ps(both, factors, sums);
    quants += (type == TensorType::Q8_0 ? 32 : 16) * count;
    x += kRunGroups * kGroupSize;
    residual_x += kRunGroups * kGroupSize;
  }
  return _mm512_reduce_add_ps(sums);
}

void neuron_rows(const NeuronRows& weights, const int32_t* neurons, int num_neurons, const Activations& input,
                 int8_t* scratch, float* out) {
  for_live_rows(weights, neurons, num_neurons, input, scratch, out,
                [&]<TensorType type>(const std::byte* row, const int8_t* x, const int8_t* residual_x) {
                  return neuron_row<type>(weights, row, input, x, residual_x);
                });
}

// 16 rows of a group: out += scales * factor * dot.
inline void add_rows(const std::byte* scales, __m512i dot, __m512 factor, float* out) {
  const __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), factor);
  _mm512_storeu_ps(out, _mm512_fmadd_ps(load_halves(scales), sum, _mm512_loadu_ps(out)));
}

inline void add_nibble_columns(const LiveColumns& live, const std::byte* scales, int row, float* out) {
  const __m512i mask = _mm512_set1_epi8(15);
  const __m512i start = _mm512_set1_epi16(static_cast<int16_t>(live.offset));
  const __m512i residual_start = _mm512_set1_epi16(static_cast<int16_t>(live.residual_offset));
  __m512i dots[2] = {start, start};
  __m512i residual_dots[2] = {residual_start, residual_start};
  for (int pair = 0; pair < live.num_pairs; ++pair) {
    const auto load = [&](int index) {
      const auto* bytes = reinterpret_cast<const __m256i*>(live.columns[index] + row / 2);
      return _mm512_cvtepu8_epi16(_mm256_loadu_si256(bytes));
    };
    const __m512i both = _mm512_or_si512(load(2 * pair), _mm512_slli_epi16(load(2 * pair + 1), 8));
    const __m512i nibbles[2] = {_mm512_and_si512(both, mask),
                                _mm512_and_si512(_mm512_srli_epi16(both, 4), mask)};
    const __m512i x = _mm512_set1_epi32(static_cast<int>(live.pairs[pair]));
    const __m512i residual_x = _mm512_set1_epi32(static_cast<int>(live.residual_pairs[pair]));
    for (int half = 0; half < 2; ++half) {
      dots[half] = _mm512_add_epi16(dots[half], _mm512_maddubs_epi16(nibbles[half], x));
      residual_dots[half] =
          _mm512_add_epi16(residual_dots[half], _mm512_maddubs_epi16(nibbles[half], residual_x));
    }
  }
  // Interleaved, both terms become one number: low + 254 x high.
  const __m512i steps = _mm512_set1_epi32(static_cast<int>(kResidualSteps) << 16 | 1);
  const __m512 factor = _mm512_set1_ps(live.scale / kResidualSteps);
  for (int half = 0; half < 2; ++half) {
    const int first = row + 32 * half;
    const __m512i front = _mm512_unpacklo_epi16(residual_dots[half], dots[half]);
    const __m512i back = _mm512_unpackhi_epi16(residual_dots[half], dots[half]);
    add_rows(scales + 2 * first, _mm512_madd_epi16(front, steps), factor, out + first);
    add_rows(scales + 2 * (first + 16), _mm512_madd_epi16(back, steps), factor, out + first + 16);
  }
}

inline void add_byte_columns(const LiveColumns& live, const std::byte* scales, int row, float* out) {
  const __m512 factor = _mm512_set1_ps(live.scale / kResidualSteps);
  for (int first = row; first < row + kColumnRows; first += 16) {
    __m512i dot = _mm512_setzero_si512();
    for (int pair = 0; pair < live.num_pairs; ++pair) {
      const auto load = [&](int index) {
        return _mm512_cvtepi8_epi32(
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(live.columns[index] + first)));
      };
      const __m512i both =
          _mm512_mask_blend_epi16(0xaaaaaaaa, load(2 * pair), _mm512_slli_epi32(load(2 * pair + 1), 16));
      dot = _mm512_dpwssd_epi32(dot, both, _mm512_set1_epi32(static_cast<int>(live.wide_pairs[pair])));
    }
    add_rows(scales + 2 * first, dot, factor, out + first);
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
