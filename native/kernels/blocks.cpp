#include "kernels/blocks.h"

#include <cstring>

namespace phonelm {

namespace {

uint16_t read_half(const uint8_t* source) {
  uint16_t bits;
  std::memcpy(&bits, source, 2);
  return bits;
}

// A minimum that the file subtracts.
uint16_t turned_half(const uint8_t* source) { return read_half(source) ^ 0x8000u; }

// `count` quants, each the low bits of a byte that begin at `shift`.
void read_bits(const uint8_t* source, int count, int shift, int mask, uint8_t* quants) {
  for (int i = 0; i < count; ++i) quants[i] = static_cast<uint8_t>((source[i] >> shift) & mask);
}

// Adds bits of the same kind above the first `low_bits`.
void add_bits(const uint8_t* source, int count, int shift, int mask, int low_bits, uint8_t* quants) {
  for (int i = 0; i < count; ++i) {
    quants[i] = static_cast<uint8_t>(quants[i] | ((source[i] >> shift) & mask) << low_bits);
  }
}

// 32 nibbles: columns i and i + 16 in byte i.
void read_nibbles(const uint8_t* source, uint8_t* quants) {
  read_bits(source, kHalfGroup, 0, 15, quants);
  read_bits(source, kHalfGroup, 4, 15, quants + kHalfGroup);
}

// The fifth bits of 32 columns, one after the other.
void add_fifth_bits(const uint8_t* source, uint8_t* quants) {
  for (int i = 0; i < kGroupSize; ++i) {
    quants[i] = static_cast<uint8_t>(quants[i] | ((source[i / 8] >> (i % 8)) & 1) << 4);
  }
}

void read_bytes(const uint8_t* source, uint8_t* quants) {
  for (int i = 0; i < kGroupSize; ++i) quants[i] = static_cast<uint8_t>(source[i] ^ 0x80u);
}

// K-quants keep 128 columns together: group g of 4 in the bits 2 g of 32 bytes.
void read_pairs(const uint8_t* source, uint8_t* quants) {
  for (int group = 0; group < kSuperGroups; ++group) {
    read_bits(source + group / 4 * 32, kGroupSize, group % 4 * 2, 3, quants + group * kGroupSize);
  }
}

// Or 64: group g of 2 in the nibble g of 32 bytes.
void read_super_nibbles(const uint8_t* source, uint8_t* quants) {
  for (int group = 0; group < kSuperGroups; ++group) {
    read_bits(source + group / 2 * 32, kGroupSize, group % 2 * 4, 15, quants + group * kGroupSize);
  }
}

// Bit g of byte i belongs to column i of group g.
void add_mask(const uint8_t* source, int low_bits, uint8_t* quants) {
  for (int group = 0; group < kSuperGroups; ++group) {
    add_bits(source, kGroupSize, group, 1, low_bits, quants + group * kGroupSize);
  }
}

// 8 scales and 8 minima of 6 bits in 12 bytes: 4 and 4 in the low bits of the first 8 bytes, the nibbles of
// the others in the last 4 bytes and their upper two bits above the first.
void read_scales_and_minima(const uint8_t* source, Block& block) {
  for (int group = 0; group < 4; ++group) {
    const int scale = source[group];
    const int minimum = source[4 + group];
    const int rest = source[8 + group];
    block.sub_scales[group][0] = static_cast<uint8_t>(scale & 63);
    block.sub_scales[group][1] = static_cast<uint8_t>(minimum & 63);
    block.sub_scales[4 + group][0] = static_cast<uint8_t>((rest & 15) | (scale >> 6) << 4);
    block.sub_scales[4 + group][1] = static_cast<uint8_t>((rest >> 4) | (minimum >> 6) << 4);
  }
}

void read_q2_k(const uint8_t* source, Block& block) {
  std::memcpy(block.sub_scales, source, 16);
  read_pairs(source + 16, block.quants);
  block.scale = read_half(source + 80);
  block.minimum = turned_half(source + 82);
}

// 16 scales of 6 bits, + 32: the low nibbles in 8 bytes, the upper two bits in 4.
void read_q3_k(const uint8_t* source, Block& block) {
  read_pairs(source + 32, block.quants);
  add_mask(source, 2, block.quants);
  const uint8_t* scales = source + 96;
  for (int i = 0; i < 16; ++i) {
    const int low = (scales[i % 8] >> (i / 8 * 4)) & 15;
    const int high = (scales[8 + i % 4] >> (i / 4 * 2)) & 3;
    block.sub_scales[i / 2][i % 2] = static_cast<uint8_t>((low | high << 4) - 32);
  }
  block.scale = read_half(source + 108);
}

void read_q4_k(const uint8_t* source, Block& block) {
  block.scale = read_half(source);
  block.minimum = turned_half(source + 2);
  read_scales_and_minima(source + 4, block);
  read_super_nibbles(source + 16, block.quants);
}

void read_q5_k(const uint8_t* source, Block& block) {
  block.scale = read_half(source);
  block.minimum = turned_half(source + 2);
  read_scales_and_minima(source + 4, block);
  read_super_nibbles(source + 48, block.quants);
  add_mask(source + 16, 4, block.quants);
}

// 128 columns in 64 bytes of nibbles and 32 bytes of pairs of bits.
void read_q6_k(const uint8_t* source, Block& block) {
  for (int group = 0; group < kSuperGroups; ++group) {
    uint8_t* quants = block.quants + group * kGroupSize;
    const uint8_t* low = source + group / 4 * 64 + group % 2 * 32;
    read_bits(low, kGroupSize, group % 4 / 2 * 4, 15, quants);
    add_bits(source + 128 + group / 4 * 32, kGroupSize, group % 4 * 2, 3, 4, quants);
  }
  std::memcpy(block.sub_scales, source + 192, 16);
  block.scale = read_half(source + 208);
}

// A scale, perhaps a minimum, perhaps fifth bits, and the quants of one group.
void read_simple(TensorType type, const uint8_t* source, Block& block) {
  const TileFormat format = tile_format(type);
  block.scale = read_half(source);
  source += 2;
  if (format.has_minimum) {
    block.minimum = read_half(source);
    source += 2;
  }
  if (format.low_bits == 8) return read_bytes(source, block.quants);
  if (format.high_bits == 0) return read_nibbles(source, block.quants);
  read_nibbles(source + 4, block.quants);
  add_fifth_bits(source, block.quants);
}

}  // namespace

void read_block(TensorType type, const std::byte* source, Block& block) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(source);
  switch (type) {
    case TensorType::Q2_K:
      return read_q2_k(bytes, block);
    case TensorType::Q3_K:
      return read_q3_k(bytes, block);
    case TensorType::Q4_K:
      return read_q4_k(bytes, block);
    case TensorType::Q5_K:
      return read_q5_k(bytes, block);
    case TensorType::Q6_K:
      return read_q6_k(bytes, block);
    default:
      return read_simple(type, bytes, block);
  }
}

}  // namespace phonelm
