#include "graph/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/f16.h"
#include "gguf/printable.h"

namespace phonelm {

namespace {

constexpr float kLargestHalf = 65504.0f;
constexpr float kLargestQuant = 127.0f;

size_t size(int count) { return static_cast<size_t>(count); }

int groups_of(int head_dim) { return (head_dim + kGroupSize - 1) / kGroupSize; }
int padded(int head_dim) { return static_cast<int>(round_up(size(head_dim), kPanelRows)); }

// Of 16 positions with rows of `width` numbers, `head_dim` of them in use.
size_t block_bytes(KvType type, int head_dim, int width) {
  const size_t numbers = size(KvCache::kBlock) * size(width);
  return type == KvType::F16 ? numbers * sizeof(uint16_t)
                             : numbers + size(groups_of(head_dim)) * ByteBlocks::kScalesBytes;
}

size_t num_blocks(const ModelConfig& config, int context_length) {
  return size(config.num_layers) * size(config.num_kv_heads) *
         (round_up(size(context_length), KvCache::kBlock) / KvCache::kBlock);
}

// Quants of up to 32 numbers; returns their scale. The sum with 1.5 * 2^23 rounds to the nearest integer, on
// every machine alike.
uint16_t to_bytes(const float* x, int count, int8_t* quants) {
  float largest = 0.0f;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::fabs(x[i]));
  const uint16_t scale = f32_to_f16(std::min(largest / kLargestQuant, kLargestHalf));
  const float step = f16_to_f32(scale);
  const float inverse = step > 0.0f ? 1.0f / step : 0.0f;
  constexpr float kRounder = 12582912.0f;
  for (int i = 0; i < count; ++i) {
    const float quant = std::max(-kLargestQuant, std::min(kLargestQuant, x[i] * inverse));
    quants[i] = static_cast<int8_t>(static_cast<int>(quant + kRounder - kRounder));
  }
  return scale;
}

void put_scale(std::byte* scales, int lane, uint16_t scale) {
  std::memcpy(scales + size(lane) * sizeof(scale), &scale, sizeof(scale));
}

// Lanes [first, 16) of `num_rows` rows of 16 numbers.
void copy_lanes(const std::byte* from, std::byte* to, int first, int num_rows, size_t number_bytes) {
  const size_t row_bytes = number_bytes * KvCache::kBlock;
  const size_t skipped = size(first) * number_bytes;
  for (size_t row = 0; row < size(num_rows); ++row) {
    std::memcpy(to + row * row_bytes + skipped, from + row * row_bytes + skipped, row_bytes - skipped);
  }
}

}  // namespace

KvType parse_kv_type(const std::string& name) {
  if (name == "f16") return KvType::F16;
  if (name == "q8_0") return KvType::Q8_0;
  throw Error("KV cache type '" + printable(name) + "' is not one of: f16, q8_0");
}

const char* kv_type_name(KvType type) { return type == KvType::F16 ? "f16" : "q8_0"; }

KvCache::KvCache(const ModelConfig& config, int context_length, KvType type, int num_sinks)
    : type_(type),
      num_layers_(config.num_layers),
      num_kv_heads_(config.num_kv_heads),
      head_dim_(config.head_dim),
      num_sinks_(num_sinks),
      value_stride_(padded(config.head_dim)),
      num_blocks_(round_up(size(context_length), kBlock) / kBlock),
      key_block_bytes_(block_bytes(type, head_dim_, head_dim_)),
      value_block_bytes_(block_bytes(type, head_dim_, value_stride_)),
      keys_(num_blocks(config, context_length) * key_block_bytes_),
      values_(num_blocks(config, context_length) * value_block_bytes_),
      sink_keys_(sizeof(float) * size(num_layers_) * size(num_kv_heads_) * size(num_sinks) *
                 size(head_dim_)) {}

size_t KvCache::bytes_for(const ModelConfig& config, int context_length, KvType type) {
  return num_blocks(config, context_length) * (block_bytes(type, config.head_dim, config.head_dim) +
                                               block_bytes(type, config.head_dim, padded(config.head_dim)));
}

size_t KvCache::bytes_per_token() const {
  return size(num_layers_) * size(num_kv_heads_) * (key_block_bytes_ + value_block_bytes_) / kBlock;
}

HalfPanels KvCache::key_halves(int layer, int kv_head, int slot, int count, bool may_round) const {
  return {reinterpret_cast<const uint16_t*>(key_block(layer, kv_head, slot)),
          (count + kBlock - 1) / kBlock,
          key_block_bytes_ / sizeof(uint16_t),
          head_dim_,
          kBlock,
          may_round};
}

HalfPanels KvCache::value_halves(int layer, int kv_head, int slot, int count, bool may_round) const {
  return {reinterpret_cast<const uint16_t*>(value_block(layer, kv_head, slot)),
          value_stride_ / kPanelRows,
          kPanelRows,
          count,
          value_stride_,
          may_round};
}

void KvCache::store_key(const Kernels& kernels, int layer, int kv_head, int slot, const float* key) const {
  std::byte* block = key_block(layer, kv_head, slot);
  if (type_ == KvType::Q8_0) return store_key_bytes(block, slot % kBlock, key);
  auto* lane = reinterpret_cast<uint16_t*>(block) + slot % kBlock;
  uint16_t halves[64];
  for (int begin = 0; begin < head_dim_; begin += 64) {
    const int count = std::min(64, head_dim_ - begin);
    kernels.to_half(key + begin, count, halves);
    for (int i = 0; i < count; ++i) lane[(begin + i) * kBlock] = halves[i];
  }
}

void KvCache::store_value(const Kernels& kernels, int layer, int kv_head, int slot,
                          const float* value) const {
  std::byte* block = value_block(layer, kv_head, slot);
  if (type_ == KvType::Q8_0) return store_value_bytes(block, slot % kBlock, value);
  kernels.to_half(value, head_dim_, reinterpret_cast<uint16_t*>(block) + slot % kBlock * value_stride_);
}

void KvCache::store_key_bytes(std::byte* block, int lane, const float* key) const {
  int8_t quants[kGroupSize];
  for (int begin = 0; begin < head_dim_; begin += kGroupSize) {
    const int count = std::min(kGroupSize, head_dim_ - begin);
    put_scale(block, lane, to_bytes(key + begin, count, quants));
    auto* target = reinterpret_cast<int8_t*>(block + ByteBlocks::kScalesBytes) + lane;
    for (int i = 0; i < count; ++i) target[i * kBlock] = quants[i];
    block += ByteBlocks::kScalesBytes + size(count) * kBlock;
  }
}

void KvCache::store_value_bytes(std::byte* block, int lane, const float* value) const {
  const size_t scales_bytes = size(groups_of(head_dim_)) * ByteBlocks::kScalesBytes;
  auto* quants = reinterpret_cast<int8_t*>(block + scales_bytes) + lane * value_stride_;
  for (int begin = 0; begin < head_dim_; begin += kGroupSize) {
    const int count = std::min(kGroupSize, head_dim_ - begin);
    put_scale(block, lane, to_bytes(value + begin, count, quants + begin));
    block += ByteBlocks::kScalesBytes;
  }
}

float* KvCache::sink_key(int layer, int kv_head, int slot) const {
  const size_t head = size(layer) * size(num_kv_heads_) + size(kv_head);
  return sink_keys_.as<float>() + (head * size(num_sinks_) + size(slot)) * size(head_dim_);
}

void KvCache::copy_key_lanes(const std::byte* from, std::byte* to, int first_lane) const {
  if (type_ == KvType::F16) return copy_lanes(from, to, first_lane, head_dim_, sizeof(uint16_t));
  for (int begin = 0; begin < head_dim_; begin += kGroupSize) {
    const int count = std::min(kGroupSize, head_dim_ - begin);
    copy_lanes(from, to, first_lane, 1, sizeof(uint16_t));
    copy_lanes(from + ByteBlocks::kScalesBytes, to + ByteBlocks::kScalesBytes, first_lane, count, 1);
    const size_t group_bytes = ByteBlocks::kScalesBytes + size(count) * kBlock;
    from += group_bytes;
    to += group_bytes;
  }
}

void KvCache::copy_value_lanes(const std::byte* from, std::byte* to, int first_lane) const {
  size_t scales_bytes = 0;
  if (type_ == KvType::Q8_0) {
    copy_lanes(from, to, first_lane, groups_of(head_dim_), sizeof(uint16_t));
    scales_bytes = size(groups_of(head_dim_)) * ByteBlocks::kScalesBytes;
  }
  const size_t skipped = scales_bytes + (value_block_bytes_ - scales_bytes) / kBlock * size(first_lane);
  std::memcpy(to + skipped, from + skipped, value_block_bytes_ - skipped);
}

void KvCache::drop(int first, int count, int end) const {
  // The lanes of a slot do not change; a block that the dropped slots begin in keeps its first ones.
  const int next = round_up(size(first), kBlock) == size(first) ? first : first / kBlock * kBlock + kBlock;
  const size_t num_moved = size(std::max(end - (next + count) + kBlock - 1, 0)) / kBlock;
  for (int layer = 0; layer < num_layers_; ++layer) {
    for (int head = 0; head < num_kv_heads_; ++head) {
      if (next != first) {
        copy_key_lanes(key_block(layer, head, first + count), key_block(layer, head, first), first % kBlock);
        copy_value_lanes(value_block(layer, head, first + count), value_block(layer, head, first),
                         first % kBlock);
      }
      if (num_moved == 0) continue;
      std::memmove(key_block(layer, head, next), key_block(layer, head, next + count),
                   num_moved * key_block_bytes_);
      std::memmove(value_block(layer, head, next), value_block(layer, head, next + count),
                   num_moved * value_block_bytes_);
    }
  }
}

void KvCache::copy_from(const KvCache& other, int num_slots) const {
  std::vector<std::span<std::byte>> sources;
  other.for_each_run(num_slots, [&](std::span<std::byte> run) { sources.push_back(run); });
  size_t next = 0;
  for_each_run(num_slots, [&](std::span<std::byte> run) {
    std::memcpy(run.data(), sources[next++].data(), run.size());
  });
  if (!sink_keys_.data()) return;
  std::memcpy(sink_keys_.data(), other.sink_keys_.data(), sink_keys_.size());
}

}  // namespace phonelm
