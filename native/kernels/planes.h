// Quants of a group from their planes (packed.h) to registers, written once over a vector of bytes B, which
// an instruction set's file defines: load, set, left, right (shifts of wider lanes; what crosses into a byte
// is masked here), both (and), or_both (a | (b & c)), lookup (of 16 bytes, by bytes below 16). In an unnamed
// namespace: each instruction set's file compiles its own.
#pragma once

#include "kernels/packed.h"

namespace phonelm {
namespace {

// Registers of a group's quants; register i holds columns 4 i to 4 i + 3 of the rows.
inline constexpr int kGroupRegisters = kGroupSize / 4;

// Bits of register k of a piece, moved by `shift` places.
template <typename B, int shift>
inline typename B::Type moved(typename B::Type piece) {
  if constexpr (shift > 0) return B::template left<shift>(piece);
  if constexpr (shift < 0) return B::template right<-shift>(piece);
  return piece;
}

template <typename B, int bits, int shift, bool first, int k>
inline void add_register(typename B::Type piece, typename B::Type& quants) {
  const auto mask = B::set(((1 << bits) - 1) << shift);
  const auto place = moved<B, shift - bits * k>(piece);
  if constexpr (bits == 8) quants = place;
  if constexpr (bits < 8) quants = first ? B::both(place, mask) : B::or_both(quants, place, mask);
}

// Puts a plane's bits to the place `shift` of the quants; the first plane clears what was there.
template <typename B, int bits, int shift, bool first>
inline void add_plane(const std::byte* plane, typename B::Type (&quants)[kGroupRegisters]) {
  constexpr int num = 8 / bits;
#pragma GCC unroll 8
  for (int piece = 0; piece < bits; ++piece) {
    const auto packed = B::load(plane + 64 * piece);
    const auto add = [&]<int k>() {
      if constexpr (k < num) add_register<B, bits, shift, first, k>(packed, quants[piece * num + k]);
    };
    add.template operator()<0>();
    add.template operator()<1>();
    add.template operator()<2>();
    add.template operator()<3>();
    add.template operator()<4>();
    add.template operator()<5>();
    add.template operator()<6>();
    add.template operator()<7>();
  }
}

// A group's levels as unsigned bytes, times 2^lift. `group` points to the rows' first piece, of which B takes
// its width.
template <TensorType type, typename B, int lift = 0>
inline void unpack_group(const std::byte* group, typename B::Type (&levels)[kGroupRegisters]) {
  constexpr TileFormat format = tile_format(type);
  add_plane<B, format.low_bits, lift, true>(group, levels);
  if constexpr (format.high_bits > 0) {
    add_plane<B, format.high_bits, format.low_bits + lift, false>(group + format.low_plane_bytes(), levels);
  }
  if constexpr (format.has_levels) {
    for (auto& level : levels) level = B::lookup(kIq4Levels, level);
  }
}

}  // namespace
}  // namespace phonelm
