// The vector type of simd_ops.h and what the kernels of this folder share.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels/simd_ops.h"

namespace phonelm {
namespace {

struct Vec {
  using Type = float32x4_t;
  static constexpr int width = 4;
  static Type load(const float* x) { return vld1q_f32(x); }
  static void store(float* x, Type v) { vst1q_f32(x, v); }
  static Type set(float x) { return vdupq_n_f32(x); }
  static Type add(Type a, Type b) { return vaddq_f32(a, b); }
  static Type sub(Type a, Type b) { return vsubq_f32(a, b); }
  static Type mul(Type a, Type b) { return vmulq_f32(a, b); }
  static Type div(Type a, Type b) { return vdivq_f32(a, b); }
  static Type fma(Type a, Type b, Type c) { return vfmaq_f32(c, a, b); }
  // Of a number and NaN, the number.
  static Type max(Type a, Type b) { return vmaxnmq_f32(a, b); }
  static Type min(Type a, Type b) { return vminnmq_f32(a, b); }
  static Type round(Type a) { return vrndnq_f32(a); }
  static Type power_of_two(Type n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
  }
  static float reduce_add(Type a) { return vaddvq_f32(a); }
  static float reduce_max(Type a) { return vmaxnmvq_f32(a); }
  static Type load_halves(const uint16_t* x) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x))); }
  static Type load_bytes(const int8_t* x) {
    int32_t four;
    std::memcpy(&four, x, sizeof four);
    const int16x8_t wide = vmovl_s8(vcreate_s8(static_cast<uint32_t>(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
  }
  static void store_bytes(int8_t* out, const Type (&rounded)[8]) {
    int16x8_t halves[4];
    for (int i = 0; i < 4; ++i) {
      const int16x4_t low = vmovn_s32(vcvtq_s32_f32(rounded[2 * i]));
      halves[i] = vmovn_high_s32(low, vcvtq_s32_f32(rounded[2 * i + 1]));
    }
    vst1q_s8(out, vmovn_high_s16(vmovn_s16(halves[0]), halves[1]));
    vst1q_s8(out + 16, vmovn_high_s16(vmovn_s16(halves[2]), halves[3]));
  }
};

inline float32x4_t load_halves(const std::byte* data) {
  return Vec::load_halves(reinterpret_cast<const uint16_t*>(data));
}

inline void store_four(float32x4_t sums, float* out, bool accumulate) {
  vst1q_f32(out, accumulate ? vaddq_f32(vld1q_f32(out), sums) : sums);
}

// Calls body<i>() for i below `count`, so that i can number a lane or a register.
template <int count, typename Body>
inline __attribute__((always_inline)) void unrolled(Body body) {
  if constexpr (count > 0) {
    unrolled<count - 1>(body);
    body.template operator()<count - 1>();
  }
}

// Far enough ahead for a core that takes 5 bytes per cycle to cover the latency of memory.
constexpr size_t kPrefetchBytes = 2048;

inline void prefetch(const std::byte* data, size_t num_bytes) {
  for (size_t line = 0; line < num_bytes; line += 64) __builtin_prefetch(data + line);
}

}  // namespace
}  // namespace phonelm
