// Keys and values of the tokens so far, in fp16 or int8, one run of memory for each layer and KV head.
//
// Both lie in blocks of 16 positions. Keys are stored dimension by dimension ([dim][16]), values position by
// position ([16][dim], padded to 16): both products of attention then read 16 neighbouring numbers at once
// and multiply them with one broadcast number. In fp16 the kernel for that is `half_panels`; in int8, whose
// blocks hold scales too (`ByteBlocks`), it is `byte_keys` and `byte_values`.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "graph/config.h"

namespace phonelm {

// Q8_0 as in GGUF: int8 with an fp16 scale for 32 dimensions, 34 bytes for 32 numbers.
enum class KvType { F16, Q8_0 };

// Throws Error for another name than "f16" and "q8_0".
KvType parse_kv_type(const std::string& name);
const char* kv_type_name(KvType type);

class KvCache {
 public:
  static constexpr int kBlock = kPanelRows;

  // Of the first `num_sinks` positions the keys are also kept before their rotation.
  KvCache(const ModelConfig& config, int context_length, KvType type = KvType::F16, int num_sinks = 0);

  // What a cache will take, before it is made.
  static size_t bytes_for(const ModelConfig& config, int context_length, KvType type = KvType::F16);
  // Of them the sinks' keys before their rotation.
  static size_t sinks_bytes_for(const ModelConfig& config, int num_sinks);

  KvType type() const { return type_; }
  int num_sinks() const { return num_sinks_; }
  int value_stride(int layer) const { return place(layer).value_stride; }
  size_t num_bytes() const { return keys_.size() + values_.size(); }
  size_t bytes_per_token() const;

  // The block that a slot lies in.
  std::byte* key_block(int layer, int kv_head, int slot) const {
    const Place& of = place(layer);
    return keys_.data() + of.first_key_byte + block(kv_head, slot) * of.key_block_bytes;
  }
  std::byte* value_block(int layer, int kv_head, int slot) const {
    const Place& of = place(layer);
    return values_.data() + of.first_value_byte + block(kv_head, slot) * of.value_block_bytes;
  }
  // What the kernels take, of `count` slots from `slot` on, a multiple of kBlock.
  HalfPanels key_halves(int layer, int kv_head, int slot, int count, bool may_round) const;
  HalfPanels value_halves(int layer, int kv_head, int slot, int count, bool may_round) const;
  ByteBlocks key_bytes(int layer, int kv_head, int slot, int count, bool may_round) const {
    const Place& of = place(layer);
    return {key_block(layer, kv_head, slot), of.key_block_bytes, of.head_dim, count, may_round};
  }
  ByteBlocks value_bytes(int layer, int kv_head, int slot, int count, bool may_round) const {
    const Place& of = place(layer);
    return {value_block(layer, kv_head, slot), of.value_block_bytes, of.head_dim, count, may_round};
  }

  void store_key(const Kernels& kernels, int layer, int kv_head, int slot, const float* key) const;
  void store_value(const Kernels& kernels, int layer, int kv_head, int slot, const float* value) const;

  // Of a sink, before its rotation: head_dim floats.
  float* sink_key(int layer, int kv_head, int slot) const;
  std::span<std::byte> sink_keys() const { return {sink_keys_.data(), sink_keys_.size()}; }

  // Forgets the slots [first, first + count), count being a multiple of kBlock: those from there to `end`
  // move down.
  void drop(int first, int count, int end) const;
  // Copies the first `num_slots` slots of another cache of the same model, type and sinks.
  void copy_from(const KvCache& other, int num_slots) const;
  // Copies the block that begins at slot `from` over the one that begins at `to`.
  void copy_block(int from, int to) const;
  // The memory of the first `num_slots` slots, run after run.
  template <typename Visit>
  void for_each_run(int num_slots, Visit&& visit) const {
    const size_t num_blocks = (static_cast<size_t>(num_slots) + kBlock - 1) / kBlock;
    for (int layer = 0; layer < num_layers(); ++layer) {
      for (int head = 0; head < place(layer).num_kv_heads; ++head) {
        visit(std::span(key_block(layer, head, 0), num_blocks * place(layer).key_block_bytes));
        visit(std::span(value_block(layer, head, 0), num_blocks * place(layer).value_block_bytes));
      }
    }
  }

 private:
  // Where a layer's runs lie, one a KV head, and how large their blocks are.
  struct Place {
    int num_kv_heads;
    int head_dim;
    int value_stride;
    size_t key_block_bytes;
    size_t value_block_bytes;
    size_t first_key_byte;
    size_t first_value_byte;
    size_t first_sink;  // among the sinks' floats
  };

  static std::vector<Place> places_of(const ModelConfig& config, size_t num_blocks, KvType type,
                                      int num_sinks);
  int num_layers() const { return static_cast<int>(places_.size()) - 1; }
  const Place& place(int layer) const { return places_[static_cast<size_t>(layer)]; }
  size_t block(int kv_head, int slot) const {
    return static_cast<size_t>(kv_head) * num_blocks_ + static_cast<size_t>(slot / kBlock);
  }
  static void store_key_bytes(const Place& of, std::byte* block, int lane, const float* key);
  static void store_value_bytes(const Place& of, std::byte* block, int lane, const float* value);
  void copy_key_lanes(const Place& of, const std::byte* from, std::byte* to, int first_lane) const;
  void copy_value_lanes(const Place& of, const std::byte* from, std::byte* to, int first_lane) const;

  KvType type_;
  int num_sinks_;
  size_t num_blocks_;  // of a run
  // One per layer, and the end of all.
  std::vector<Place> places_;
  Buffer keys_;
  Buffer values_;
  Buffer sink_keys_;
};

}  // namespace phonelm
