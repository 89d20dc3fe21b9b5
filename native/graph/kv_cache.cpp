#include "graph/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/f16.h"
#include "core/printable.h"

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

size_t blocks_for(int context_length) {
  return round_up(size(context_length), KvCache::kBlock) / KvCache::kBlock;
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

std::vector<KvCache::Place> KvCache::places_of(const ModelConfig& config, size_t num_blocks, KvType type,
                                               int num_sinks) {
  std::vector<Place> places;
  Place next{};
  for (const LayerShape& layer : config.layers) {
    const int head_dim = layer.attention.head_dim;
    const size_t num_kv_heads = size(layer.attention.num_kv_heads);
    next.num_kv_heads = layer.attention.num_kv_heads;
    next.head_dim = head_dim;
    next.value_stride = padded(head_dim);
    next.key_block_bytes = block_bytes(type, head_dim, head_dim);
    next.value_block_bytes = block_bytes(type, head_dim, next.value_stride);
    places.push_back(next);
    next.first_key_byte += num_kv_heads * num_blocks * next.key_block_bytes;
    next.first_value_byte += num_kv_heads * num_blocks * next.value_block_bytes;
    next.first_sink += num_kv_heads * size(num_sinks) * size(head_dim);
  }
  places.push_back(next);
  return places;
}

KvCache::KvCache(const ModelConfig& config, int context_length, KvType type, int num_sinks)
    : type_(type),
      num_sinks_(num_sinks),
      num_blocks_(blocks_for(context_length)),
      places_(places_of(config, num_blocks_, type, num_sinks)),
      keys_(places_.back().first_key_byte),
      values_(places_.back().first_value_byte),
      sink_keys_(sizeof(float) * places_.back().first_sink) {}

size_t KvCache::bytes_for(const ModelConfig& config, int context_length, KvType type) {
  const Place end = places_of(config, blocks_for(context_length), type, 0).back();
  return end.first_key_byte + end.first_value_byte;
}

size_t KvCache::sinks_bytes_for(const ModelConfig& config, int num_sinks) {
  return sizeof(float) * places_of(config, 0, KvType::F16, num_sinks).back().first_sink;
}

size_t KvCache::bytes_per_token() const {
  size_t num_bytes = 0;
  for (int layer = 0; layer < num_layers(); ++layer) {
    const Place& of = place(layer);
    num_bytes += size(of.num_kv_heads) * (of.key_block_bytes + of.value_block_bytes) / kBlock;
  }
  return num_bytes;
}

HalfPanels KvCache::key_halves(int layer, int kv_head, int slot, int count, bool may_round) const {
  return {reinterpret_cast<const uint16_t*>(key_block(layer, kv_head, slot)),
          (count + kBlock - 1) / kBlock,
          place(layer).key_block_bytes / sizeof(uint16_t),
          place(layer).head_dim,
          kBlock,
          may_round};
}

HalfPanels KvCache::value_halves(int layer, int kv_head, int slot, int count, bool may_round) const {
  return {reinterpret_cast<const uint16_t*>(value_block(layer, kv_head, slot)),
          value_stride(layer) / kPanelRows,
          kPanelRows,
          count,
          value_stride(layer),
          may_round};
}

void KvCache::store_key(const Kernels& kernels, int layer, int kv_head, int slot, const float* key) const {
  const Place& of = place(layer);
  std::byte* block = key_block(layer, kv_head, slot);
  if (type_ == KvType::Q8_0) return store_key_bytes(of, block, slot % kBlock, key);
  auto* lane = reinterpret_cast<uint16_t*>(block) + slot % kBlock;
  uint16_t halves[64];
  for (int begin = 0; begin < of.head_dim; begin += 64) {
    const int count = std::min(64, of.head_dim - begin);
    kernels.to_half(key + begin, count, halves);
    for (int i = 0; i < count; ++i) lane[(begin + i) * kBlock] = halves[i];
  }
}

void KvCache::store_value(const Kernels& kernels, int layer, int kv_head, int slot,
                          const float* value) const {
  const Place& of = place(layer);
  std::byte* block = value_block(layer, kv_head, slot);
  if (type_ == KvType::Q8_0) return store_value_bytes(of, block, slot % kBlock, value);
  kernels.to_half(value, of.head_dim, reinterpret_cast<uint16_t*>(block) + slot % kBlock * of.value_stride);
}

void KvCache::store_key_bytes(const Place& of, std::byte* block, int lane, const float* key) {
  int8_t quants[kGroupSize];
  for (int begin = 0; begin < of.head_dim; begin += kGroupSize) {
    const int count = std::min(kGroupSize, of.head_dim - begin);
    put_scale(block, lane, to_bytes(key + begin, count, quants));
    auto* target = reinterpret_cast<int8_t*>(block + ByteBlocks::kScalesBytes) + lane;
    for (int i = 0; i < count; ++i) target[i * kBlock] = quants[i];
    block += ByteBlocks::kScalesBytes + size(count) * kBlock;
  }
}

void KvCache::store_value_bytes(const Place& of, std::byte* block, int lane, const float* value) {
  const size_t scales_bytes = size(groups_of(of.head_dim)) * ByteBlocks::kScalesBytes;
  auto* quants = reinterpret_cast<int8_t*>(block + scales_bytes) + lane * of.value_stride;
  for (int begin = 0; begin < of.head_dim; begin += kGroupSize) {
    const int count = std::min(kGroupSize, of.head_dim - begin);
    put_scale(block, lane, to_bytes(value + begin, count, quants + begin));
    block += ByteBlocks::kScalesBytes;
  }
}

float* KvCache::sink_key(int layer, int kv_head, int slot) const {
  const Place& of = place(layer);
  const size_t sink = size(kv_head) * size(num_sinks_) + size(slot);
  return sink_keys_.as<float>() + of.first_sink + sink * size(of.head_dim);
}

void KvCache::copy_key_lanes(const Place& of, const std::byte* from, std::byte* to, int first_lane) const {
  if (type_ == KvType::F16) return copy_lanes(from, to, first_lane, of.head_dim, sizeof(uint16_t));
  for (int begin = 0; begin < of.head_dim; begin += kGroupSize) {
    const int count = std::min(kGroupSize, of.head_dim - begin);
    copy_lanes(from, to, first_lane, 1, sizeof(uint16_t));
    copy_lanes(from + ByteBlocks::kScalesBytes, to + ByteBlocks::kScalesBytes, first_lane, count, 1);
    const size_t group_bytes = ByteBlocks::kScalesBytes + size(count) * kBlock;
    from += group_bytes;
    to += group_bytes;
  }
}

void KvCache::copy_value_lanes(const Place& of, const std::byte* from, std::byte* to, int first_lane) const {
  size_t scales_bytes = 0;
  if (type_ == KvType::Q8_0) {
    copy_lanes(from, to, first_lane, groups_of(of.head_dim), sizeof(uint16_t));
    scales_bytes = size(groups_of(of.head_dim)) * ByteBlocks::kScalesBytes;
  }
  const size_t skipped = scales_bytes + (of.value_block_bytes - scales_bytes) / kBlock * size(first_lane);
  std::memcpy(to + skipped, from + skipped, of.value_block_bytes - skipped);
}

void KvCache::drop(int first, int count, int end) const {
  // The lanes of a slot do not change; a block that the dropped slots begin in keeps its first ones.
  const int next = round_up(size(first), kBlock) == size(first) ? first : first / kBlock * kBlock + kBlock;
  const size_t num_moved = size(std::max(end - (next + count) + kBlock - 1, 0)) / kBlock;
  for (int layer = 0; layer < num_layers(); ++layer) {
    const Place& of = place(layer);
    for (int head = 0; head < of.num_kv_heads; ++head) {
      const auto key = [&](int slot) { return key_block(layer, head, slot); };
      const auto value = [&](int slot) { return value_block(layer, head, slot); };
      if (next != first) {
        copy_key_lanes(of, key(first + count), key(first), first % kBlock);
        copy_value_lanes(of, value(first + count), value(first), first % kBlock);
      }
      if (num_moved == 0) continue;
      std::memmove(key(next), key(next + count), num_moved * of.key_block_bytes);
      std::memmove(value(next), value(next + count), num_moved * of.value_block_bytes);
    }
  }
}

void KvCache::copy_block(int from, int to) const {
  for (int layer = 0; layer < num_layers(); ++layer) {
    const Place& of = place(layer);
    for (int head = 0; head < of.num_kv_heads; ++head) {
      std::memcpy(key_block(layer, head, to), key_block(layer, head, from), of.key_block_bytes);
      std::memcpy(value_block(layer, head, to), value_block(layer, head, from), of.value_block_bytes);
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
