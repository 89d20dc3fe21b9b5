// A group of quantized weights in registers: levels, scales and minima.
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

// The zero point that the activations' offsets are made for.
template <TensorType type>
constexpr int kOffsetUnit = tile_format(type).num_scales() == 2 ? 32 : 8;

// Q3_K's levels are taken 8 times, which costs nothing (its bits are moved anyway), so that their zero point
// is 32 too; its scales are divided by 8.
template <TensorType type>
constexpr int kLift = type == TensorType::Q3_K ? 3 : 0;

// What multiplies the dot products of a group's 16 rows, and what is added; one for each half or for all.
template <int num>
struct Factors {
  __m512 scales[num];
  __m512 minima[num];
};

inline __m512 to_float(__m512i numbers) { return _mm512_cvtepi32_ps(numbers); }

// A group's sub-scales and sub-minima; 1 is understood in types that have none.
template <TensorType type>
inline auto load_sub_scales(const std::byte* tile, int group) {
  constexpr TileFormat format = tile_format(type);
  Factors<format.num_scales()> factors;
  const auto* pairs = reinterpret_cast<const __m128i*>(tile + format.sub_scales_at()) + 2 * group;
  if constexpr (format.sub_scales == SubScales::ScaleAndMinimum) {
    factors.scales[0] = to_float(_mm512_cvtepu8_epi32(_mm_loadu_si128(pairs)));
    factors.minima[0] = to_float(_mm512_cvtepu8_epi32(_mm_loadu_si128(pairs + 1)));
    return factors;
  }
  for (int half = 0; half < 2; ++half) {
    const __m128i bytes = _mm_loadu_si128(pairs + half);
    if constexpr (format.sub_scales == SubScales::HalfScales) {
      factors.scales[half] = to_float(_mm512_cvtepi8_epi32(bytes));
    } else {
      const __m512 numbers = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
      const __m512i both = _mm512_cvtepu8_epi32(bytes);
      // The permutation looks at the low nibbles only.
      factors.scales[half] = _mm512_permutexvar_ps(both, numbers);
      factors.minima[half] = to_float(_mm512_srli_epi32(both, 4));
    }
  }
  return factors;
}

// The rows' own scales and minima.
template <TensorType type>
inline Factors<1> load_row_factors(const std::byte* tile) {
  Factors<1> factors;
  factors.scales[0] = load_halves(tile);
  if constexpr (kLift<type> > 0) {
    factors.scales[0] = _mm512_mul_ps(factors.scales[0], _mm512_set1_ps(1.0f / (1 << kLift<type>)));
  }
  if constexpr (tile_format(type).has_minimum) factors.minima[0] = load_halves(tile + 2 * kPanelRows);
  return factors;
}

// Both multiplied.
template <TensorType type>
inline auto load_factors(const std::byte* tile, int group) {
  constexpr TileFormat format = tile_format(type);
  const Factors<1> row = load_row_factors<type>(tile);
  if constexpr (format.sub_scales == SubScales::None) {
    return row;
  } else {
    auto factors = load_sub_scales<type>(tile, group);
    for (int i = 0; i < format.num_scales(); ++i) {
      factors.scales[i] = _mm512_mul_ps(factors.scales[i], row.scales[0]);
      if constexpr (format.has_minimum) factors.minima[i] = _mm512_mul_ps(factors.minima[i], row.minima[0]);
    }
    return factors;
  }
}

// Without the rows' factors where those come late.
template <TensorType type, bool late>
inline auto group_factors(const std::byte* tile, int group) {
  if constexpr (late) return load_sub_scales<type>(tile, group);
  if constexpr (!late) return load_factors<type>(tile, group);
}

}  // namespace
}  // namespace phonelm
