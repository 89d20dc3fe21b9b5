// Products of quantized panels, one loop for all types. `vpmaddubsw` multiplies 8 rows x 4 columns of
// unsigned weights with 4 broadcast signed activations and adds adjacent products into int16. Sums of as many
// registers as cannot overflow there are added before they are widened to int32: 8 for 4 bits (15 * 127 * 2 *
// 8 < 32768), 4 for 5 bits, 2 for 6 bits. 8-bit levels would overflow at once, so their sign is moved to the
// activations
// (|w| * sign(w) a) and each product is widened. A tile of 16 rows is done as two halves of 8.
#pragma once

#include "kernels/avx2/vectors.h"
#include "kernels/planes.h"

namespace phonelm {
namespace {

// The vector type of planes.h.
struct Bytes {
  using Type = __m256i;
  static Type load(const void* data) { return _mm256_loadu_si256(static_cast<const __m256i*>(data)); }
  static Type set(int byte) { return _mm256_set1_epi8(static_cast<char>(byte)); }
  template <int bits>
  static Type left(Type a) {
    return _mm256_slli_epi16(a, bits);
  }
  template <int bits>
  static Type right(Type a) {
    return _mm256_srli_epi16(a, bits);
  }
  static Type both(Type a, Type b) { return _mm256_and_si256(a, b); }
  static Type or_both(Type a, Type b, Type c) { return _mm256_or_si256(a, _mm256_and_si256(b, c)); }
  static Type lookup(const uint8_t (&table)[16], Type places) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), places);
  }
};

// Levels above 127 are taken signed, level - 128.
constexpr bool is_signed(const TileFormat& format) { return format.zero == 128; }

// Registers of unsigned levels whose products with any activations can be added in int16.
constexpr int num_narrow(const TileFormat& format) {
  const int largest = (1 << (format.low_bits + format.high_bits)) - 1;
  const int num = 32767 / (largest * 127 * 2);
  const int all = kGroupRegisters / format.num_scales();
  return num < all ? num : all;
}

template <TensorType type>
inline void unpack_half_tile(const std::byte* group, int half, __m256i (&w)[kGroupRegisters]) {
  unpack_group<type, Bytes>(group + 32 * half, w);
  if constexpr (is_signed(tile_format(type))) {
    for (__m256i& levels : w) levels = _mm256_xor_si256(levels, _mm256_set1_epi8(-128));
  }
}

// What multiplies the dot products of 8 rows of a group, and what is added; one for each half of the columns
// or for all.
template <int num>
struct Factors {
  __m256 scales[num];
  __m256 minima[num];
};

inline __m128i load_eight(const std::byte* data) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(data));
}

inline __m256 times(__m256 factor, __m256i numbers) {
  return _mm256_mul_ps(factor, _mm256_cvtepi32_ps(numbers));
}

template <TensorType type>
inline auto load_factors(const std::byte* tile, int group, int half) {
  constexpr TileFormat format = tile_format(type);
  Factors<format.num_scales()> factors;
  const __m256 scales = load_halves(tile + 16 * half);
  const __m256 minima = format.has_minimum ? load_halves(tile + 32 + 16 * half) : _mm256_setzero_ps();
  const std::byte* pairs = tile + format.sub_scales_at() + 32 * group + 8 * half;
  if constexpr (format.sub_scales == SubScales::None) {
    factors.scales[0] = scales;
    factors.minima[0] = minima;
  } else if constexpr (format.sub_scales == SubScales::ScaleAndMinimum) {
    factors.scales[0] = times(scales, _mm256_cvtepu8_epi32(load_eight(pairs)));
    factors.minima[0] = times(minima, _mm256_cvtepu8_epi32(load_eight(pairs + kPanelRows)));
  } else {
    for (int i = 0; i < 2; ++i, pairs += kPanelRows) {
      if constexpr (format.sub_scales == SubScales::HalfScales) {
        factors.scales[i] = times(scales, _mm256_cvtepi8_epi32(load_eight(pairs)));
      } else {
        const __m256i both = _mm256_cvtepu8_epi32(load_eight(pairs));
        factors.scales[i] = times(scales, _mm256_and_si256(both, _mm256_set1_epi32(15)));
        factors.minima[i] = times(minima, _mm256_srli_epi32(both, 4));
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

// What the zero point adds to a dot product: offsets are -8 x the sum of the activations' quants, a half's
// -32 x.
template <TensorType type>
inline int32_t start_value(const int32_t* offset) {
  constexpr TileFormat format = tile_format(type);
  constexpr int unit = format.num_scales() == 2 ? 32 : 8;
  if constexpr (format.zero == 0 || is_signed(format)) return 0;
  if constexpr (format.zero >= unit) return *offset * (format.zero / unit);
  return *offset / (unit / format.zero);
}

// 8 dot products of the registers [begin, begin + num).
template <TensorType type, int begin, int num>
inline __m256i dot_registers(const __m256i (&w)[kGroupRegisters], const int8_t* x, int32_t start) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i dot = _mm256_set1_epi32(start);
  if constexpr (is_signed(tile_format(type))) {
    for (int i = begin; i < begin + num; ++i) {
      const __m256i signed_x = _mm256_sign_epi8(broadcast_quants(x + 4 * i), w[i]);
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w[i]), signed_x);
      dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, ones));
    }
  } else {
    constexpr int narrow = num_narrow(tile_format(type));
    for (int first = begin; first < begin + num; first += narrow) {
      __m256i pairs = _mm256_maddubs_epi16(w[first], broadcast_quants(x + 4 * first));
      for (int i = first + 1; i < first + narrow; ++i) {
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[i], broadcast_quants(x + 4 * i)));
      }
      dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, ones));
    }
  }
  return dot;
}

// A group's product with the token at `place`, added to `sum`.
template <TensorType type, int num_scales>
inline __m256 add_term(const __m256i (&w)[kGroupRegisters], const Factors<num_scales>& factors,
                       const Term& term, size_t place, __m256 sum) {
  constexpr int num = kGroupRegisters / num_scales;
  const int8_t* x = term.quants + place * kGroupSize;
  const __m256 scale = _mm256_set1_ps(term.scales[place]);
  const int32_t* offsets = term.offsets + num_scales * place;
  const __m256i first = dot_registers<type, 0, num>(w, x, start_value<type>(offsets));
  if constexpr (num_scales == 1) {
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(first), _mm256_mul_ps(factors.scales[0], scale), sum);
  } else {
    const __m256i second = dot_registers<type, num, num>(w, x, start_value<type>(offsets + 1));
    const __m256 product = times(factors.scales[0], first);
    return _mm256_fmadd_ps(_mm256_fmadd_ps(_mm256_cvtepi32_ps(second), factors.scales[1], product), scale,
                           sum);
  }
}

template <int num_scales>
inline __m256 add_minima(const Factors<num_scales>& factors, const Activations& input, size_t place,
                         __m256 sum) {
  const float* sums = num_scales == 1 ? input.scaled_sums + place : input.scaled_half_sums + 2 * place;
  for (int i = 0; i < num_scales; ++i) sum = _mm256_fmadd_ps(factors.minima[i], _mm256_set1_ps(sums[i]), sum);
  return sum;
}

// 8 rows times `num` tokens that lie next to each other in one block of the activations.
template <TensorType type, int num>
inline void quantized_panel(const std::byte* tile, int half, const Activations& input, int token, float* out,
                            int out_stride, bool accumulate) {
  constexpr TileFormat format = tile_format(type);
  constexpr bool halves = format.num_scales() == 2;
  const Term first{input.quants, input.scales, halves ? input.half_offsets : input.offsets};
  const Term second{input.residual_quants, input.residual_scales,
                    halves ? input.residual_half_offsets : input.residual_offsets};
  __m256 sums[num];
  for (int t = 0; t < num; ++t) sums[t] = _mm256_setzero_ps();
  const auto block = static_cast<size_t>(input.block);
  size_t place = input.group_at(token, 0);
  const int first_bit = token % input.block;
  const uint16_t* low_mask = input.residual_tokens + place / block;
  const int num_tiles = input.num_groups / format.num_groups();
  for (int index = 0; index < num_tiles; ++index, tile += format.num_bytes()) {
    const std::byte* quants = tile + format.quants_at();
    for (int group = 0; group < format.num_groups();
         ++group, quants += format.group_bytes(), place += block) {
      __m256i w[kGroupRegisters];
      unpack_half_tile<type>(quants, half, w);
      const auto factors = load_factors<type>(tile, group, half);
      for (size_t t = 0; t < num; ++t) {
        sums[t] = add_term<type>(w, factors, first, place + t, sums[t]);
        if constexpr (format.has_minimum) sums[t] = add_minima(factors, input, place + t, sums[t]);
      }
      const unsigned residual_tokens = static_cast<unsigned>(*low_mask++) >> first_bit;
      for (size_t t = 0; t < num; ++t) {
        if ((residual_tokens >> t) & 1) sums[t] = add_term<type>(w, factors, second, place + t, sums[t]);
      }
    }
  }
  for (int t = 0; t < num; ++t, out += out_stride) {
    _mm256_storeu_ps(out, accumulate ? _mm256_add_ps(_mm256_loadu_ps(out), sums[t]) : sums[t]);
  }
}

}  // namespace
}  // namespace phonelm
