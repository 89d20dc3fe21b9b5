// Kernels of a ReLU FFN's active neurons (kernels/neurons.h), one token; see avx512/neurons.h for how they
// work. Here a row takes one group at a time, and a group of columns 32 rows.
#pragma once

#include "kernels/avx2/vectors.h"
#include "kernels/live_columns.h"

namespace phonelm {
namespace {

// Dot products of 8 groups with one term: nibbles are unsigned and all their products fit into int16; bytes
// are made signed, their sign moved to the activations, and each product is widened.
template <TensorType type>
inline __m256i dot_half_run(const std::byte* quants, __m256i there, int num_groups, const int8_t* x,
                            __m256i start) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i low = _mm256_set1_epi8(15);
  const auto load = [&](int piece) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 64 * piece));
  };
  __m256i pairs = _mm256_setzero_si256();
  for (int piece = 0; piece < (type == TensorType::Q8_0 ? 8 : 4); ++piece, quants += 4 * num_groups) {
    const __m256i bytes = _mm256_maskload_epi32(reinterpret_cast<const int*>(quants), there);
    if constexpr (type == TensorType::Q8_0) {
      const __m256i w = _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80)));
      const __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(load(piece), w));
      start = _mm256_add_epi32(start, _mm256_madd_epi16(products, ones));
    } else {
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(_mm256_and_si256(bytes, low), load(2 * piece)));
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(high, load(2 * piece + 1)));
    }
  }
  return type == TensorType::Q8_0 ? start : _mm256_add_epi32(start, _mm256_madd_epi16(pairs, ones));
}

// Lanes below `count`.
inline __m256i lanes_below(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

template <TensorType type>
inline float neuron_row(const NeuronRows& weights, const std::byte* row, const Activations& input,
                        const int8_t* x, const int8_t* residual_x) {
  const __m256 residual_step = _mm256_set1_ps(1.0f / kResidualSteps);
  const std::byte* quants = row + weights.scales_bytes();
  const int num_groups = weights.num_groups();
  __m256 sums = _mm256_setzero_ps();
  for (int first = 0; first < num_groups; first += 8) {
    const int begin = first / kRunGroups * kRunGroups;
    const int in_run = num_groups - begin < kRunGroups ? num_groups - begin : kRunGroups;
    const std::byte* run = quants + begin * (type == TensorType::Q8_0 ? 32 : 16) + 4 * (first - begin);
    const int at = begin * kGroupSize + 4 * (first - begin);
    const __m256i there = lanes_below(num_groups - first);
    const auto start = [&](const int32_t* offsets) {
      return type == TensorType::Q8_0 ? _mm256_setzero_si256()
                                      : _mm256_maskload_epi32(offsets + first, there);
    };
    const __m256i dot = dot_half_run<type>(run, there, in_run, x + at, start(input.offsets));
    const __m256i residual_dot =
        dot_half_run<type>(run, there, in_run, residual_x + at, start(input.residual_offsets));
    const __m256 both =
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(residual_dot), residual_step, _mm256_cvtepi32_ps(dot));
    const __m256 factors =
        _mm256_mul_ps(load_halves(row + 2 * first), _mm256_maskload_ps(input.scales + first, there));
    sums = _mm256_fmadd_ps(both, factors, sums);
  }
  return Vec::reduce_add(sums);
}

void neuron_rows(const NeuronRows& weights, const int32_t* neurons, int num_neurons, const Activations& input,
                 int8_t* scratch, float* out) {
  for_live_rows(weights, neurons, num_neurons, input, scratch, out,
                [&]<TensorType type>(const std::byte* row, const int8_t* x, const int8_t* residual_x) {
                  return neuron_row<type>(weights, row, input, x, residual_x);
                });
}

// 8 rows of a group: out += scales * factor * dot.
inline void add_rows(const std::byte* scales, __m256i dot, __m256 factor, float* out) {
  const __m256 sum = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), factor);
  _mm256_storeu_ps(out, _mm256_fmadd_ps(load_halves(scales), sum, _mm256_loadu_ps(out)));
}

// 16 of the 32 bytes that hold 64 rows: rows 0 to 7, 16 to 23 and those 32 further of the first or second
// half.
inline void add_half_nibbles(const LiveColumns& live, const std::byte* scales, int row, int half,
                             float* out) {
  const __m256i mask = _mm256_set1_epi8(15);
  const __m256i start = _mm256_set1_epi16(static_cast<int16_t>(live.offset));
  const __m256i residual_start = _mm256_set1_epi16(static_cast<int16_t>(live.residual_offset));
  __m256i dots[2] = {start, start};
  __m256i residual_dots[2] = {residual_start, residual_start};
  for (int pair = 0; pair < live.num_pairs; ++pair) {
    const auto load = [&](int index) {
      const auto* bytes = reinterpret_cast<const __m128i*>(live.columns[index] + row / 2 + 16 * half);
      return _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes));
    };
    const __m256i both = _mm256_or_si256(load(2 * pair), _mm256_slli_epi16(load(2 * pair + 1), 8));
    const __m256i nibbles[2] = {_mm256_and_si256(both, mask),
                                _mm256_and_si256(_mm256_srli_epi16(both, 4), mask)};
    const __m256i x = _mm256_set1_epi32(static_cast<int>(live.pairs[pair]));
    const __m256i residual_x = _mm256_set1_epi32(static_cast<int>(live.residual_pairs[pair]));
    for (int high = 0; high < 2; ++high) {
      dots[high] = _mm256_add_epi16(dots[high], _mm256_maddubs_epi16(nibbles[high], x));
      residual_dots[high] =
          _mm256_add_epi16(residual_dots[high], _mm256_maddubs_epi16(nibbles[high], residual_x));
    }
  }
  const __m256i steps = _mm256_set1_epi32(static_cast<int>(kResidualSteps) << 16 | 1);
  const __m256 factor = _mm256_set1_ps(live.scale / kResidualSteps);
  for (int high = 0; high < 2; ++high) {
    const int first = row + 32 * high + 8 * half;
    const __m256i front = _mm256_unpacklo_epi16(residual_dots[high], dots[high]);
    const __m256i back = _mm256_unpackhi_epi16(residual_dots[high], dots[high]);
    add_rows(scales + 2 * first, _mm256_madd_epi16(front, steps), factor, out + first);
    add_rows(scales + 2 * (first + 16), _mm256_madd_epi16(back, steps), factor, out + first + 16);
  }
}

inline void add_nibble_columns(const LiveColumns& live, const std::byte* scales, int row, float* out) {
  for (int half = 0; half < 2; ++half) add_half_nibbles(live, scales, row, half, out);
}

inline void add_byte_columns(const LiveColumns& live, const std::byte* scales, int row, float* out) {
  const __m256 factor = _mm256_set1_ps(live.scale / kResidualSteps);
  for (int first = row; first < row + kColumnRows; first += 8) {
    __m256i dot = _mm256_setzero_si256();
    for (int pair = 0; pair < live.num_pairs; ++pair) {
      const auto load = [&](int index) {
        return _mm256_cvtepi8_epi32(
            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(live.columns[index] + first)));
      };
      const __m256i both =
          _mm256_blend_epi16(load(2 * pair), _mm256_slli_epi32(load(2 * pair + 1), 16), 0xaa);
      dot = _mm256_add_epi32(
          dot, _mm256_madd_epi16(both, _mm256_set1_epi32(static_cast<int>(live.wide_pairs[pair]))));
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
