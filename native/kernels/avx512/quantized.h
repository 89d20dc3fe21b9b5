// Products of quantized panels, one loop for all types. A group costs 8 `vpdpbusd` a token and term, in two
// chains for types with two scales, besides what unpacks its weights:
//
//            bytes of a group   instructions to unpack it
//   Q4_0 Q4_1 Q4_K  288 320 296     12
//   IQ4_NL          288             20
//   Q5_0 Q5_1 Q5_K  352 384 360     28
//   Q6_K            420             28
//   Q3_K            228             31
//   Q2_K            168             16
//   Q8_0            544              8
#pragma once

#include "kernels/avx512/vectors.h"
#include "kernels/planes.h"

namespace phonelm {
namespace {

// The vector type of planes.h.
struct Bytes {
  using Type = __m512i;
  static Type load(const void* data) { return _mm512_loadu_si512(data); }
  static Type set(int byte) { return _mm512_set1_epi8(static_cast<char>(byte)); }
  template <int bits>
  static Type left(Type a) {
    return _mm512_slli_epi16(a, bits);
  }
  template <int bits>
  static Type right(Type a) {
    return _mm512_srli_epi16(a, bits);
  }
  static Type both(Type a, Type b) { return _mm512_and_si512(a, b); }
  static Type or_both(Type a, Type b, Type c) { return _mm512_ternarylogic_epi32(a, b, c, 0xf8); }
  static Type lookup(const uint8_t (&table)[16], Type places) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), places);
  }
};

// What multiplies the dot products of a group's 16 rows, and what is added; one for each half or for all.
template <int num>
struct Factors {
  __m512 scales[num];
  __m512 minima[num];
};

inline __m512 to_float(__m512i numbers) { return _mm512_cvtepi32_ps(numbers); }

template <TensorType type>
inline auto load_factors(const std::byte* tile, int group) {
  constexpr TileFormat format = tile_format(type);
  Factors<format.num_scales()> factors;
  const __m512 scales = load_halves(tile);
  const __m512 minima = format.has_minimum ? load_halves(tile + 2 * kPanelRows) : _mm512_setzero_ps();
  const auto* pairs = reinterpret_cast<const __m128i*>(tile + format.sub_scales_at()) + 2 * group;
  if constexpr (format.sub_scales == SubScales::None) {
    factors.scales[0] = scales;
    factors.minima[0] = minima;
  } else if constexpr (format.sub_scales == SubScales::ScaleAndMinimum) {
    factors.scales[0] = _mm512_mul_ps(scales, to_float(_mm512_cvtepu8_epi32(_mm_loadu_si128(pairs))));
    factors.minima[0] = _mm512_mul_ps(minima, to_float(_mm512_cvtepu8_epi32(_mm_loadu_si128(pairs + 1))));
  } else {
    for (int half = 0; half < 2; ++half) {
      const __m128i bytes = _mm_loadu_si128(pairs + half);
      if constexpr (format.sub_scales == SubScales::HalfScales) {
        factors.scales[half] = _mm512_mul_ps(scales, to_float(_mm512_cvtepi8_epi32(bytes)));
      } else {
        const __m512i both = _mm512_cvtepu8_epi32(bytes);
        const __m512i low = _mm512_and_si512(both, _mm512_set1_epi32(15));
        factors.scales[half] = _mm512_mul_ps(scales, to_float(low));
        factors.minima[half] = _mm512_mul_ps(minima, to_float(_mm512_srli_epi32(both, 4)));
      }
    }
  }
  return factors;
}

// One term of all tokens; the offsets are those of halves for types with two scales.
struct Term {
  const int8_t* quants;
  const float* scales;
  const int32_t* offsets;
};

// What the zero point adds to the dot products of a group or half: offsets are -8 x the sum of the
// activations' quants, a half's -32 x.
template <TensorType type>
inline __m512i start_value(const int32_t* offset) {
  constexpr TileFormat format = tile_format(type);
  constexpr int unit = format.num_scales() == 2 ? 32 : 8;
  if constexpr (format.zero == 0) return _mm512_setzero_si512();
  const __m512i start = _mm512_set1_epi32(*offset);
  if constexpr (format.zero == unit) return start;
  if constexpr (format.zero > unit) {
    return _mm512_slli_epi32(start, __builtin_ctz(static_cast<unsigned>(format.zero / unit)));
  }
  return _mm512_srai_epi32(start, __builtin_ctz(static_cast<unsigned>(unit / format.zero)));
}

// 16 dot products of the registers [begin, begin + num).
template <int begin, int num>
inline __m512i dot_registers(__m512i dot, const __m512i (&w)[kGroupRegisters], const int8_t* x) {
#pragma GCC unroll 8
  for (int i = begin; i < begin + num; ++i) dot = _mm512_dpbusd_epi32(dot, w[i], broadcast_quants(x + 4 * i));
  return dot;
}

// A group's product with the token at `place`, added to `sum`.
template <TensorType type, int num_scales>
inline __m512 add_term(const __m512i (&w)[kGroupRegisters], const Factors<num_scales>& factors,
                       const Term& term, size_t place, __m512 sum) {
  const int8_t* x = term.quants + place * kGroupSize;
  const __m512 scale = _mm512_set1_ps(term.scales[place]);
  if constexpr (num_scales == 1) {
    const __m512i dot = dot_registers<0, 8>(start_value<type>(term.offsets + place), w, x);
    return _mm512_fmadd_ps(to_float(dot), _mm512_mul_ps(factors.scales[0], scale), sum);
  } else {
    const int32_t* offsets = term.offsets + 2 * place;
    const __m512i first = dot_registers<0, 4>(start_value<type>(offsets), w, x);
    const __m512i second = dot_registers<4, 4>(start_value<type>(offsets + 1), w, x);
    const __m512 product = _mm512_mul_ps(to_float(first), factors.scales[0]);
    return _mm512_fmadd_ps(_mm512_fmadd_ps(to_float(second), factors.scales[1], product), scale, sum);
  }
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

// Far enough ahead to cover the latency of memory, near enough to stay in the first cache.
constexpr size_t kPrefetchBytes = 4096;

template <size_t num_bytes>
inline void prefetch(const std::byte* data) {
  for (size_t line = 0; line < num_bytes; line += 64) _mm_prefetch(data + kPrefetchBytes + line, _MM_HINT_T0);
}

// 16 rows times `num` tokens that lie next to each other in one block of the activations.
template <TensorType type, int num>
inline void quantized_panel(const std::byte* tile, const Activations& input, int token, float* out,
                            int out_stride, bool accumulate) {
  constexpr TileFormat format = tile_format(type);
  constexpr size_t step_bytes = format.num_bytes() / format.num_groups();
  constexpr bool halves = format.num_scales() == 2;
  const Term first{input.quants, input.scales, halves ? input.half_offsets : input.offsets};
  const Term second{input.low_quants, input.low_scales, halves ? input.low_half_offsets : input.low_offsets};
  __m512 sums[num];
  for (int t = 0; t < num; ++t) sums[t] = _mm512_setzero_ps();
  const auto block = static_cast<size_t>(input.block);
  size_t place = input.group_at(token, 0);
  const int first_bit = token % input.block;
  const uint16_t* low_mask = input.low_tokens + place / block;
  const int num_tiles = input.num_groups / format.num_groups();
  for (int index = 0; index < num_tiles; ++index, tile += format.num_bytes()) {
    const std::byte* quants = tile + format.quants_at();
    for (int group = 0; group < format.num_groups();
         ++group, quants += format.group_bytes(), place += block) {
      if constexpr (num == 1) prefetch<step_bytes>(tile + static_cast<size_t>(group) * step_bytes);
      __m512i w[kGroupRegisters];
      unpack_group<type, Bytes>(quants, w);
      const auto factors = load_factors<type>(tile, group);
#pragma GCC unroll 16
      for (size_t t = 0; t < num; ++t) {
        sums[t] = add_term<type>(w, factors, first, place + t, sums[t]);
        if constexpr (format.has_minimum) sums[t] = add_minima(factors, input, place + t, sums[t]);
      }
      const unsigned low_tokens = static_cast<unsigned>(*low_mask++) >> first_bit;
      if ((low_tokens & ((1u << num) - 1)) == 0) continue;
#pragma GCC unroll 16
      for (size_t t = 0; t < num; ++t) {
        if ((low_tokens >> t) & 1) sums[t] = add_term<type>(w, factors, second, place + t, sums[t]);
      }
    }
  }
  for (int t = 0; t < num; ++t, out += out_stride) {
    _mm512_storeu_ps(out, accumulate ? _mm512_add_ps(_mm512_loadu_ps(out), sums[t]) : sums[t]);
  }
}

}  // namespace
}  // namespace phonelm
