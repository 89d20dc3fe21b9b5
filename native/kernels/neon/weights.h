// 8 rows of a group, half a tile's, in registers: what the products of all tables start from.
#pragma once

#include "kernels/neon/vectors.h"
#include "kernels/planes.h"

namespace phonelm {
namespace {

// The vector type of planes.h; shifts are of bytes.
struct Bytes {
  using Type = uint8x16_t;
  static Type load(const void* data) { return vld1q_u8(static_cast<const uint8_t*>(data)); }
  static Type set(int byte) { return vdupq_n_u8(static_cast<uint8_t>(byte)); }
  template <int bits>
  static Type left(Type a) {
    return vshlq_n_u8(a, bits);
  }
  template <int bits>
  static Type right(Type a) {
    return vshrq_n_u8(a, bits);
  }
  static Type both(Type a, Type b) { return vandq_u8(a, b); }
  static Type or_both(Type a, Type b, Type c) { return vorrq_u8(a, vandq_u8(b, c)); }
  static Type lookup(const uint8_t (&table)[16], Type places) { return vqtbl1q_u8(vld1q_u8(table), places); }
};

// Numbers + 128 as signed ones.
inline int8x16_t to_signed(uint8x16_t bytes) { return vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128))); }

inline void split_nibbles(uint8x16_t bytes, int8x16_t& low, int8x16_t& high) {
  low = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
  high = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
}

// Register i of 4 rows: columns 4 i to 4 i + 3 of each. Levels + 128 are taken signed, level - 128; all
// others are below 64 and stay as they are.
using FourRows = int8x16_t[kGroupRegisters];

template <TensorType type>
inline void unpack_rows(const std::byte* group, FourRows& levels) {
  constexpr TileFormat format = tile_format(type);
  if constexpr (format.low_bits == 4 && format.high_bits == 0 && !format.has_levels) {
    unrolled<4>([&]<int piece>() {
      split_nibbles(Bytes::load(group + 64 * piece), levels[2 * piece], levels[2 * piece + 1]);
    });
  } else {
    uint8x16_t bytes[kGroupRegisters];
    unpack_group<type, Bytes>(group, bytes);
    unrolled<kGroupRegisters>([&]<int i>() {
      levels[i] = format.zero == 128 ? to_signed(bytes[i]) : vreinterpretq_s8_u8(bytes[i]);
    });
  }
}

// What the zero point adds to dot products; `offsets` are -8 x the sums of the activations' quants, those of
// halves -32 x.
template <TensorType type>
inline int32x4_t start_value(int32x4_t offsets) {
  constexpr TileFormat format = tile_format(type);
  constexpr int unit = format.num_scales() == 2 ? 32 : 8;
  if constexpr (format.zero == 0 || format.zero == 128) return vdupq_n_s32(0);
  if constexpr (format.zero == 2 * unit) return vshlq_n_s32(offsets, 1);
  if constexpr (format.zero * 8 == unit) return vshrq_n_s32(offsets, 3);
  return offsets;
}

struct EightFloats {
  float32x4_t values[2];
};

inline EightFloats operator*(EightFloats a, EightFloats b) {
  return {{vmulq_f32(a.values[0], b.values[0]), vmulq_f32(a.values[1], b.values[1])}};
}

inline EightFloats eight_halves(const std::byte* data) {
  return {{load_halves(data), load_halves(data + 8)}};
}

inline EightFloats to_floats(uint8x8_t bytes) {
  const uint16x8_t wide = vmovl_u8(bytes);
  return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), vcvtq_f32_u32(vmovl_high_u16(wide))}};
}

inline EightFloats to_floats(int8x8_t bytes) {
  const int16x8_t wide = vmovl_s8(bytes);
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_high_s16(wide))}};
}

// What multiplies the dot products of 8 rows, and what is added; one for each half of the columns or for all.
template <int num>
struct Factors {
  EightFloats scales[num];
  EightFloats minima[num];
};

template <TensorType type>
inline auto load_factors(const std::byte* tile, int group, int first_row) {
  constexpr TileFormat format = tile_format(type);
  Factors<format.num_scales()> factors;
  const EightFloats scales = eight_halves(tile + 2 * first_row);
  EightFloats minima = {};
  if constexpr (format.has_minimum) minima = eight_halves(tile + 2 * (kPanelRows + first_row));
  const std::byte* pairs =
      tile + format.sub_scales_at() + static_cast<size_t>(group) * TileFormat::sub_scales_bytes() + first_row;
  const auto bytes = [&](int i) { return vld1_u8(reinterpret_cast<const uint8_t*>(pairs) + kPanelRows * i); };
  if constexpr (format.sub_scales == SubScales::None) {
    factors = {{scales}, {minima}};
  } else if constexpr (format.sub_scales == SubScales::ScaleAndMinimum) {
    factors = {{scales * to_floats(bytes(0))}, {minima * to_floats(bytes(1))}};
  } else {
    for (int half = 0; half < 2; ++half) {
      if constexpr (format.sub_scales == SubScales::HalfScales) {
        factors.scales[half] = scales * to_floats(vreinterpret_s8_u8(bytes(half)));
      } else {
        factors.scales[half] = scales * to_floats(vand_u8(bytes(half), vdup_n_u8(15)));
        factors.minima[half] = minima * to_floats(vshr_n_u8(bytes(half), 4));
      }
    }
  }
  return factors;
}

}  // namespace
}  // namespace phonelm
