// The vector type of simd_ops.h and what the kernels of this folder share.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/simd_ops.h"

namespace phonelm {
namespace {

struct Vec {
  using Type = __m512;
  static constexpr int width = 16;
  static Type load(const float* x) { return _mm512_loadu_ps(x); }
  static void store(float* x, Type v) { _mm512_storeu_ps(x, v); }
  static Type set(float x) { return _mm512_set1_ps(x); }
  static Type add(Type a, Type b) { return _mm512_add_ps(a, b); }
  static Type sub(Type a, Type b) { return _mm512_sub_ps(a, b); }
  static Type mul(Type a, Type b) { return _mm512_mul_ps(a, b); }
  static Type div(Type a, Type b) { return _mm512_div_ps(a, b); }
  static Type fma(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static Type max(Type a, Type b) { return _mm512_max_ps(a, b); }
  static Type min(Type a, Type b) { return _mm512_min_ps(a, b); }
  static Type round(Type a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Type power_of_two(Type n) {
    const __m512i bits =
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
    return _mm512_castsi512_ps(bits);
  }
  static float reduce_add(Type a) { return _mm512_reduce_add_ps(a); }
  static float reduce_max(Type a) { return _mm512_reduce_max_ps(a); }
  static Type load_halves(const uint16_t* x) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  static Type load_bytes(const int8_t* x) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
  }
  static void store_bytes(int8_t* out, const Type (&rounded)[2]) {
    for (int i = 0; i < 2; ++i) {
      const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(rounded[i]));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out) + i, bytes);
    }
  }
};

inline __m512 load_halves(const void* data) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(data)));
}

inline __m512i broadcast_quants(const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}

}  // namespace
}  // namespace phonelm
