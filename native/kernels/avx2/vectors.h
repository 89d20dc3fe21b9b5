// The vector type of simd_ops.h and what the kernels of this folder share.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/simd_ops.h"

namespace phonelm {
namespace {

struct Vec {
  using Type = __m256;
  static constexpr int width = 8;
  static Type load(const float* x) { return _mm256_loadu_ps(x); }
  static void store(float* x, Type v) { _mm256_storeu_ps(x, v); }
  static Type set(float x) { return _mm256_set1_ps(x); }
  static Type add(Type a, Type b) { return _mm256_add_ps(a, b); }
  static Type sub(Type a, Type b) { return _mm256_sub_ps(a, b); }
  static Type mul(Type a, Type b) { return _mm256_mul_ps(a, b); }
  static Type div(Type a, Type b) { return _mm256_div_ps(a, b); }
  static Type fma(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static Type max(Type a, Type b) { return _mm256_max_ps(a, b); }
  static Type min(Type a, Type b) { return _mm256_min_ps(a, b); }
  static Type round(Type a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Type power_of_two(Type n) {
    const __m256i bits =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_castsi256_ps(bits);
  }
  static float reduce_add(Type a) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
  static float reduce_max(Type a) {
    __m128 best = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    best = _mm_max_ps(best, _mm_movehl_ps(best, best));
    return _mm_cvtss_f32(_mm_max_ss(best, _mm_movehdup_ps(best)));
  }
  static Type load_halves(const uint16_t* x) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  }
  static Type load_bytes(const int8_t* x) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x))));
  }
  static void store_bytes(int8_t* out, const Type (&rounded)[4]) {
    __m256i ints[4];
    for (int i = 0; i < 4; ++i) ints[i] = _mm256_cvtps_epi32(rounded[i]);
    // Both packs work on 128-bit lanes; the permutation puts the 4-byte pieces back into order.
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(ints[0], ints[1]), _mm256_packs_epi32(ints[2], ints[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permutevar8x32_epi32(bytes, order));
  }
};

inline __m256 load_halves(const void* data) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(data)));
}

inline __m256i broadcast_quants(const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, 4);
  return _mm256_set1_epi32(four);
}

}  // namespace
}  // namespace phonelm
