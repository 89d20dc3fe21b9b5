// Random inputs of kernels for kernel_check.cpp.
#pragma once

#include <cmath>
#include <cstring>
#include <random>

#include "core/f16.h"
#include "guarded.h"
#include "kernels/kernels.h"

namespace phonelm {

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  bool chance(double share) { return std::bernoulli_distribution(share)(engine_); }
  float normal() { return std::normal_distribution<float>()(engine_); }
  std::byte byte() { return static_cast<std::byte>(engine_() & 255); }

 private:
  std::mt19937 engine_;
};

inline size_t product(int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); }

inline Guarded<float> random_floats(Random& random, size_t size, float spread = 1.0f) {
  Guarded<float> values(size);
  for (float& value : values) value = spread * random.normal();
  return values;
}

inline Guarded<uint16_t> random_halves(Random& random, size_t size) {
  Guarded<uint16_t> values(size);
  for (uint16_t& value : values) value = f32_to_f16(random.normal());
  return values;
}

// Where a block's fp16 numbers lie, and how many there are.
struct BlockHalves {
  size_t at;
  size_t num;
};

inline BlockHalves block_halves(TensorType type) {
  switch (type) {
    case TensorType::Q4_1:
    case TensorType::Q5_1:
    case TensorType::Q4_K:
    case TensorType::Q5_K:
      return {0, 2};
    case TensorType::Q2_K:
      return {80, 2};
    case TensorType::Q3_K:
      return {108, 1};
    case TensorType::Q6_K:
      return {208, 1};
    default:
      return {0, 1};
  }
}

// GGUF's blocks of a matrix: any quants there can be, and numbers of the usual size.
inline Guarded<std::byte> random_blocks(Random& random, TensorType type, int rows, int cols) {
  const size_t block_bytes = tensor_type_block_bytes(type);
  Guarded<std::byte> blocks(product(rows, cols / tile_cols(type)) * block_bytes);
  for (auto& byte : blocks) byte = random.byte();
  const BlockHalves place = block_halves(type);
  for (std::byte* block = blocks.begin(); block != blocks.end(); block += block_bytes) {
    const float value = random.normal();
    const uint16_t halves[2] = {f32_to_f16(value), f32_to_f16(random.normal())};
    if (type == TensorType::F32) {
      std::memcpy(block, &value, 4);
    } else if (type == TensorType::BF16) {
      std::memcpy(block, reinterpret_cast<const std::byte*>(&value) + 2, 2);
    } else {
      std::memcpy(block + place.at, halves, 2 * place.num);
    }
  }
  return blocks;
}

// Tokens as products take them: groups of zeros, quiet ones and some with outliers. What a kernel must not
// look at is NaN, or what an earlier batch may have left there.
class RandomInput {
 public:
  RandomInput(Random& random, int tokens, int cols, double live = 1.0)
      : num_places_(
            product((tokens + block_of(tokens) - 1) / block_of(tokens) * block_of(tokens), cols / 32)),
        values_(product(tokens, cols)),
        quants_(kGroupSize * num_places_),
        residual_quants_(kGroupSize * num_places_),
        scales_(num_places_),
        residual_scales_(num_places_),
        scaled_sums_(num_places_),
        offsets_(num_places_),
        residual_offsets_(num_places_),
        half_offsets_(2 * num_places_),
        residual_half_offsets_(2 * num_places_),
        scaled_half_sums_(2 * num_places_),
        residual_tokens_(num_places_) {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (i % kGroupSize == 0 && random.chance(0.1)) i += kGroupSize;
      if (i >= values_.size() || !random.chance(live)) continue;
      values_[i] = random.normal() * (random.chance(0.02) ? 8.0f : 1.0f);
    }
    for (size_t i = 0; i < quants_.size(); ++i) {
      quants_[i] = static_cast<int8_t>(random.between(-127, 127));
      residual_quants_[i] = static_cast<int8_t>(random.between(-127, 127));
    }
    for (size_t i = 0; i < num_places_; ++i) {
      scales_[i] = residual_scales_[i] = scaled_sums_[i] = NAN;
      offsets_[i] = residual_offsets_[i] = -8 * random.between(-4064, 4064);
      for (size_t half = 2 * i; half < 2 * i + 2; ++half) {
        half_offsets_[half] = residual_half_offsets_[half] = -32 * random.between(-2032, 2032);
        scaled_half_sums_[half] = NAN;
      }
      residual_tokens_[i] = static_cast<uint16_t>(random.between(0, 65535));
    }
  }

  float* values() const { return values_.data(); }

  Activations view(int tokens, int cols) const {
    Activations view;
    view.values = values_.data();
    view.stride = cols;
    view.num_tokens = tokens;
    view.num_groups = cols / kGroupSize;
    view.block = block_of(tokens);
    view.quants = quants_.data();
    view.scales = scales_.data();
    view.offsets = offsets_.data();
    view.scaled_sums = scaled_sums_.data();
    view.residual_quants = residual_quants_.data();
    view.residual_scales = residual_scales_.data();
    view.residual_offsets = residual_offsets_.data();
    view.half_offsets = half_offsets_.data();
    view.residual_half_offsets = residual_half_offsets_.data();
    view.scaled_half_sums = scaled_half_sums_.data();
    view.residual_tokens = residual_tokens_.data();
    view.residual_limit = tokens == 1 ? 0.0f : kBatchResidualLimit;
    return view;
  }

 private:
  static int block_of(int tokens) { return tokens == 1 ? 1 : kTokenBlock; }

  size_t num_places_;
  Guarded<float> values_;
  Guarded<int8_t> quants_, residual_quants_;
  Guarded<float> scales_, residual_scales_, scaled_sums_;
  Guarded<int32_t> offsets_, residual_offsets_, half_offsets_, residual_half_offsets_;
  Guarded<float> scaled_half_sums_;
  Guarded<uint16_t> residual_tokens_;
};

inline void quantize_all(const Kernels& kernels, const Activations& input) {
  for (int token = 0; token < input.num_tokens; ++token) {
    kernels.quantize(input.values + product(token, input.stride), token, input);
  }
}

}  // namespace phonelm
