// Products of quantized panels, one loop for all types. One `vpdpbusd` multiplies 16 rows x 4 columns of
// unsigned levels with 4 broadcast signed activations and adds into 16 int32 sums, so a group of 32 columns
// costs 8 of them a token and term, in two chains for types with two scales; the zero point enters as the
// sums' start value, -zero * (sum of the group's activations).
//
// Batches keep a group's 8 unpacked registers and up to 16 tokens' float accumulators in registers: 8 dot
// products, a multiplication, a multiply-add and a conversion for 512 multiply-adds. On Zen 4 the first ten
// share the pipes that start one 512-bit instruction a cycle: 51 multiply-adds per cycle, 46 when a tenth of
// the groups has a residual term.
//
// Decode (one token) has two terms in every group and is bound by memory, of which a core's share is 5 to 9
// bytes per cycle, as long as unpacking is short: counted without loads; measured from the L2 cache, Zen 4.
//
//                       Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 IQ4_NL Q2_K Q3_K Q4_K Q5_K Q6_K
//   bytes of a group     288  320  352  384  544    288  168  228  296  360  420
//   to unpack it          12   12   27   27    0     20   14   31   12   27   26   instructions
//   decode                25   26   34   33   27     28   28   38   26   34   37   cycles per group
//   decode              11.4 12.3 10.4 11.5 20.4   10.3  5.9  6.0 11.2 10.6 11.3   bytes per cycle
//   batch of 64           44   40   40   37   41     41   34   38   38   37   38   multiply-adds per cycle
#pragma once

#include "kernels/avx512/weights.h"

namespace phonelm {
namespace {

// One term of all tokens; the offsets are those of halves for types with two scales.
struct Term {
  const int8_t* quants;
  const float* scales;
  const int32_t* offsets;
};

struct Terms {
  Term first, second;
};

template <TensorType type>
inline Terms terms_of(const Activations& input) {
  constexpr bool halves = tile_format(type).num_scales() == 2;
  return {{input.quants, input.scales, halves ? input.half_offsets : input.offsets},
          {input.residual_quants, input.residual_scales,
           halves ? input.residual_half_offsets : input.residual_offsets}};
}

// What the zero point adds to the dot products of a group or half.
template <TensorType type>
inline __m512i start_value(const int32_t* offset) {
  constexpr int zero = tile_format(type).zero << kLift<type>;
  constexpr int unit = kOffsetUnit<type>;
  static_assert(zero == 0 || zero % unit == 0);
  if constexpr (zero == 0) return _mm512_setzero_si512();
  const __m512i start = _mm512_set1_epi32(*offset);
  return zero == unit ? start : _mm512_slli_epi32(start, __builtin_ctz(static_cast<unsigned>(zero / unit)));
}

// 16 dot products of the registers [begin, begin + num).
template <int begin, int num>
inline __m512i dot_registers(__m512i dot, const __m512i (&w)[kGroupRegisters], const int8_t* x) {
#pragma GCC unroll 8
  for (int i = begin; i < begin + num; ++i) dot = _mm512_dpbusd_epi32(dot, w[i], broadcast_quants(x + 4 * i));
  return dot;
}

// The dot products of a group or its halves with the token at `place`.
template <int num>
struct Dots {
  __m512 values[num];
};

template <TensorType type>
inline auto dot_group(const __m512i (&w)[kGroupRegisters], const Term& term, size_t place) {
  constexpr int num = tile_format(type).num_scales();
  const int8_t* x = term.quants + place * kGroupSize;
  const int32_t* offsets = term.offsets + num * place;
  Dots<num> dots;
  dots.values[0] = to_float(dot_registers<0, kGroupRegisters / num>(start_value<type>(offsets), w, x));
  if constexpr (num == 2) {
    dots.values[1] = to_float(dot_registers<4, 4>(start_value<type>(offsets + 1), w, x));
  }
  return dots;
}

// `sum` and the products with one term, whose scale is broadcast.
template <int num>
inline __m512 add_dots(const Dots<num>& dots, const Factors<num>& factors, float term_scale, __m512 sum) {
  const __m512 scale = _mm512_set1_ps(term_scale);
  if constexpr (num == 1) {
    return _mm512_fmadd_ps(dots.values[0], _mm512_mul_ps(factors.scales[0], scale), sum);
  } else {
    const __m512 product = _mm512_mul_ps(dots.values[0], factors.scales[0]);
    return _mm512_fmadd_ps(_mm512_fmadd_ps(dots.values[1], factors.scales[1], product), scale, sum);
  }
}

// A group's product with one term of the token at `place`, added to `sum`.
template <TensorType type, int num>
inline __m512 add_term(const __m512i (&w)[kGroupRegisters], const Factors<num>& factors, const Term& term,
                       size_t place, __m512 sum) {
  return add_dots(dot_group<type>(w, term, place), factors, term.scales[place], sum);
}

// With both terms: the second's scale is the first's over kResidualSteps.
template <TensorType type, int num>
inline __m512 add_both_terms(const __m512i (&w)[kGroupRegisters], const Factors<num>& factors,
                             const Terms& terms, size_t place, __m512 sum) {
  auto dots = dot_group<type>(w, terms.first, place);
  const auto low = dot_group<type>(w, terms.second, place);
  const __m512 step = _mm512_set1_ps(1.0f / kResidualSteps);
  for (int i = 0; i < num; ++i) dots.values[i] = _mm512_fmadd_ps(low.values[i], step, dots.values[i]);
  return add_dots(dots, factors, terms.first.scales[place], sum);
}

template <int num_scales>
inline __m512 add_minima(const Factors<num_scales>& factors, const Activations& input, size_t place,
                         __m512 sum) {
  if constexpr (num_scales == 1) {
    return _mm512_fmadd_ps(factors.minima[0], _mm512_set1_ps(input.scaled_sums[place]), sum);
  } else {
    const float* sums = input.scaled_half_sums + 2 * place;
    sum = _mm512_fmadd_ps(factors.minima[0], _mm512_set1_ps(sums[0]), sum);
    return _mm512_fmadd_ps(factors.minima[1], _mm512_set1_ps(sums[1]), sum);
  }
}

// Far enough ahead to cover the latency of memory, near enough to stay in the L1 cache.
constexpr size_t kPrefetchBytes = 4096;

template <size_t num_bytes>
inline void prefetch(const std::byte* data) {
  for (size_t line = 0; line < num_bytes; line += 64) _mm_prefetch(data + kPrefetchBytes + line, _MM_HINT_T0);
}

// A tile's products with `num` tokens from `place` on, each added to its total as if it came alone; bit
// `first_bit` + t of a group's mask says that token t has a residual term.
template <TensorType type, int num>
[[gnu::always_inline]] inline void add_tile_alone(const std::byte* tile, const Activations& input,
                                                  const Terms& terms, size_t place, const uint16_t* low_mask,
                                                  int first_bit, __m512 (&totals)[num]) {
  constexpr TileFormat format = tile_format(type);
  constexpr size_t step_bytes = format.num_bytes() / format.num_groups();
  // The groups of a K-quant are added before they are multiplied with the rows' scales.
  constexpr bool late = format.sub_scales != SubScales::None;
  __m512 sums[num];
  __m512 minima[num];
  for (int t = 0; t < num; ++t) {
    sums[t] = late ? _mm512_setzero_ps() : totals[t];
    minima[t] = _mm512_setzero_ps();
  }
  const std::byte* quants = tile + format.quants_at();
  for (int group = 0; group < format.num_groups(); ++group, quants += format.group_bytes()) {
    prefetch<step_bytes>(tile + static_cast<size_t>(group) * step_bytes);
    __m512i w[kGroupRegisters];
    unpack_group<type, Bytes, kLift<type>>(quants, w);
    const auto factors = group_factors<type, late>(tile, group);
    const size_t here = place + static_cast<size_t>(group * input.block);
#pragma GCC unroll 16
    for (size_t t = 0; t < num; ++t) {
      const bool has_residual = (low_mask[group] >> (first_bit + static_cast<int>(t))) & 1;
      sums[t] = has_residual ? add_both_terms<type>(w, factors, terms, here + t, sums[t])
                             : add_term<type>(w, factors, terms.first, here + t, sums[t]);
      __m512& minima_sum = late ? minima[t] : sums[t];
      if constexpr (format.has_minimum) minima_sum = add_minima(factors, input, here + t, minima_sum);
    }
  }
  if constexpr (late) {
    const Factors<1> row = load_row_factors<type>(tile);
    for (int t = 0; t < num; ++t) {
      totals[t] = _mm512_fmadd_ps(sums[t], row.scales[0], totals[t]);
      if constexpr (format.has_minimum) totals[t] = _mm512_fmadd_ps(minima[t], row.minima[0], totals[t]);
    }
  } else {
    for (int t = 0; t < num; ++t) totals[t] = sums[t];
  }
}

// The same of a batch, whose sums are added in the order that is fastest.
template <TensorType type, int num>
[[gnu::always_inline]] inline void add_tile(const std::byte* tile, const Activations& input,
                                            const Terms& terms, size_t place, const uint16_t* low_mask,
                                            int first_bit, __m512 (&sums)[num]) {
  constexpr TileFormat format = tile_format(type);
  const std::byte* quants = tile + format.quants_at();
  for (int group = 0; group < format.num_groups(); ++group, quants += format.group_bytes()) {
    __m512i w[kGroupRegisters];
    unpack_group<type, Bytes, kLift<type>>(quants, w);
    const auto factors = load_factors<type>(tile, group);
    const size_t here = place + static_cast<size_t>(group * input.block);
#pragma GCC unroll 16
    for (size_t t = 0; t < num; ++t) {
      sums[t] = add_term<type>(w, factors, terms.first, here + t, sums[t]);
      if constexpr (format.has_minimum) sums[t] = add_minima(factors, input, here + t, sums[t]);
    }
    const unsigned residual_tokens = static_cast<unsigned>(low_mask[group]) >> first_bit;
    if ((residual_tokens & ((1u << num) - 1)) == 0) continue;
#pragma GCC unroll 16
    for (size_t t = 0; t < num; ++t) {
      if ((residual_tokens >> t) & 1) sums[t] = add_term<type>(w, factors, terms.second, here + t, sums[t]);
    }
  }
}

// 16 rows times `num` tokens that lie next to each other in one block of the activations; `alone`: each as if
// it came alone.
template <TensorType type, int num, bool alone = num == 1>
inline void quantized_panel(const std::byte* tile, const Activations& input, int token, float* out,
                            int out_stride, bool accumulate) {
  constexpr TileFormat format = tile_format(type);
  const Terms terms = terms_of<type>(input);
  const auto block = static_cast<size_t>(input.block);
  size_t place = input.group_at(token, 0);
  const int first_bit = token % input.block;
  const uint16_t* low_mask = input.residual_tokens + place / block;
  const int num_tiles = input.num_groups / format.num_groups();
  __m512 sums[num];
  for (int t = 0; t < num; ++t) sums[t] = _mm512_setzero_ps();
  for (int index = 0; index < num_tiles; ++index) {
    if constexpr (alone) add_tile_alone<type>(tile, input, terms, place, low_mask, first_bit, sums);
    if constexpr (!alone) add_tile<type>(tile, input, terms, place, low_mask, first_bit, sums);
    tile += format.num_bytes();
    place += format.num_groups() * block;
    low_mask += format.num_groups();
  }
  for (int t = 0; t < num; ++t, out += out_stride) {
    _mm512_storeu_ps(out, accumulate ? _mm512_add_ps(_mm512_loadu_ps(out), sums[t]) : sums[t]);
  }
}

}  // namespace
}  // namespace phonelm
