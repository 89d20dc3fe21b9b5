// int8 quantization of a token's row, four groups at a time: their maxima and sums are reduced together by
// transposing, 13 instructions for four where each alone takes 8.
#pragma once

#include "kernels/avx512/vectors.h"

namespace phonelm {
namespace {

// The four vectors' sums or maxima, in order.
template <typename Combine>
inline __m128 reduce_four(const __m512 (&x)[4], Combine combine) {
  const __m512 first = combine(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
  const __m512 second = combine(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
  const __m512 lanes =
      combine(_mm512_shuffle_ps(first, second, 0x44), _mm512_shuffle_ps(first, second, 0xee));
  const __m512 halves = combine(lanes, _mm512_shuffle_f32x4(lanes, lanes, 0x4e));
  const __m512 all = combine(halves, _mm512_shuffle_f32x4(halves, halves, 0xb1));
  return _mm512_castps512_ps128(all);
}

// Partial sums of the quants in each half of a group.
struct PartialSums {
  __m512 first, second;
};

struct GroupValues {
  __m512 low, high;

  explicit GroupValues(const float* x) : low(_mm512_loadu_ps(x)), high(_mm512_loadu_ps(x + 16)) {}
  __m512 largest() const { return _mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)); }

  // Stores round(x / scale) and leaves the rounding error; returns 16 partial sums of each half.
  PartialSums quantize(float scale, float inverse, int8_t* quants) {
    const __m512i least = _mm512_set1_epi32(-127);
    const __m512 inverses = _mm512_set1_ps(inverse);
    // The bound turns what NaN and infinity are converted to, which a broken file can bring, into a quant.
    const __m512i first = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(low, inverses)), least);
    const __m512i second = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(high, inverses)), least);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(quants), _mm512_cvtsepi32_epi8(first));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + 16), _mm512_cvtsepi32_epi8(second));
    const __m512 scales = _mm512_set1_ps(scale);
    low = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(first), scales, low);
    high = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(second), scales, high);
    return {_mm512_cvtepi32_ps(first), _mm512_cvtepi32_ps(second)};
  }
};

inline __m512 add(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
inline __m512 larger(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }

// Scales of all groups, `stride` apart; returns the limit above which a scale's group has a residual term.
inline float set_scales(const float* x, const Activations& target, float* scales, size_t stride) {
  __m128 squares = _mm_setzero_ps();
  in_batches<4, 1>(target.num_groups, [&]<int num>(int first) {
    __m512 parts[4] = {};
#pragma GCC unroll 4
    for (int i = 0; i < num; ++i) parts[i] = GroupValues(x + (first + i) * kGroupSize).largest();
    const __m128 largest = reduce_four(parts, larger);
    squares = _mm_fmadd_ps(largest, largest, squares);
    alignas(16) float found[4];
    _mm_store_ps(found, _mm_div_ps(largest, _mm_set1_ps(127.0f)));
#pragma GCC unroll 4
    for (int i = 0; i < num; ++i) scales[static_cast<size_t>(first + i) * stride] = found[i];
  });
  squares = _mm_add_ps(squares, _mm_movehl_ps(squares, squares));
  const float total = _mm_cvtss_f32(_mm_add_ss(squares, _mm_movehdup_ps(squares)));
  const float root = __builtin_sqrtf(total / static_cast<float>(target.num_groups));
  return target.residual_limit * root / 127.0f;
}

// One term's partial sums of four groups.
struct FourSums {
  __m512 first[4] = {};
  __m512 second[4] = {};

  void set(int i, const PartialSums& sums) {
    first[i] = sums.first;
    second[i] = sums.second;
  }

  void reduce(HalfSums (&out)[4]) const {
    alignas(16) int32_t totals[2][4];
    _mm_store_si128(reinterpret_cast<__m128i*>(totals[0]), _mm_cvtps_epi32(reduce_four(first, add)));
    _mm_store_si128(reinterpret_cast<__m128i*>(totals[1]), _mm_cvtps_epi32(reduce_four(second, add)));
    for (int i = 0; i < 4; ++i) out[i] = {{totals[0][i], totals[1][i]}};
  }
};

// `num` groups of a row; the first's numbers lie at `at`, the next ones' `stride` further.
template <int num>
inline void quantize_groups(const float* x, float limit, size_t at, size_t stride, uint16_t* low_masks,
                            int bit, const Activations& target) {
  FourSums sums;
  FourSums residual_sums;
  unsigned with_residual = 0;
#pragma GCC unroll 4
  for (int i = 0; i < num; ++i) {
    const size_t here = at + static_cast<size_t>(i) * stride;
    const float scale = target.scales[here];
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    GroupValues values(x + i * kGroupSize);
    sums.set(i, values.quantize(scale, inverse, target.quants + here * kGroupSize));
    const bool has_residual = scale > limit;
    const unsigned mask = bit == 0 ? 0u : low_masks[i];
    low_masks[i] = static_cast<uint16_t>(mask | (static_cast<unsigned>(has_residual) << bit));
    if (!has_residual) continue;
    with_residual |= 1u << i;
    target.residual_scales[here] = scale / kResidualSteps;
    residual_sums.set(i, values.quantize(scale / kResidualSteps, inverse * kResidualSteps,
                                         target.residual_quants + here * kGroupSize));
  }
  HalfSums totals[4];
  sums.reduce(totals);
#pragma GCC unroll 4
  for (int i = 0; i < num; ++i) {
    const size_t here = at + static_cast<size_t>(i) * stride;
    start_sums(totals[i], here, target.scales[here], target);
  }
  if (with_residual == 0) return;
  residual_sums.reduce(totals);
  for (int i = 0; i < num; ++i) {
    if ((with_residual >> i) & 1) add_residual_sums(totals[i], at + static_cast<size_t>(i) * stride, target);
  }
}

void quantize(const float* x, int token, const Activations& target) {
  const auto stride = static_cast<size_t>(target.block);
  const size_t base = target.group_at(token, 0);
  const float limit = set_scales(x, target, target.scales + base, stride);
  uint16_t* low_masks = target.residual_tokens + base / stride;
  const int bit = token % target.block;
  in_batches<4, 1>(target.num_groups, [&]<int num>(int first) {
    quantize_groups<num>(x + first * kGroupSize, limit, base + static_cast<size_t>(first) * stride, stride,
                         low_masks + first, bit, target);
  });
}

}  // namespace
}  // namespace phonelm
