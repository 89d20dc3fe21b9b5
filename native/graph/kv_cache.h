// Keys and values of the tokens so far, in fp16, one run of memory for each layer and KV head.
//
// Keys lie in blocks of 16 positions, dimension by dimension ([position / 16][dim][16]), values position by
// position ([position][dim], padded to 16): both products of attention then read 16 neighbouring numbers at
// once and multiply them with one broadcast number, which is the kernel `half_panels`.
#pragma once

#include "core/buffer.h"
#include "graph/config.h"

namespace phonelm {

class KvCache {
 public:
  static constexpr int kBlock = kPanelRows;

  KvCache(const ModelConfig& config, int context_length)
      : num_kv_heads_(config.num_kv_heads),
        head_dim_(config.head_dim),
        value_stride_(static_cast<int>(round_up(static_cast<size_t>(config.head_dim), kPanelRows))),
        padded_context_(round_up(static_cast<size_t>(context_length), kBlock)),
        keys_(run_bytes(config, context_length, head_dim_)),
        values_(run_bytes(config, context_length, value_stride_)) {}

  // What a cache will take, before it is made.
  static size_t bytes_for(const ModelConfig& config, int context_length) {
    const auto value_width = round_up(static_cast<size_t>(config.head_dim), kPanelRows);
    return run_bytes(config, context_length, config.head_dim) +
           run_bytes(config, context_length, static_cast<int>(value_width));
  }

  int value_stride() const { return value_stride_; }
  size_t num_bytes() const { return keys_.size() + values_.size(); }

  uint16_t* keys(int layer, int kv_head) const {
    return keys_.as<uint16_t>() + run(layer, kv_head) * static_cast<size_t>(head_dim_);
  }
  uint16_t* values(int layer, int kv_head) const {
    return values_.as<uint16_t>() + run(layer, kv_head) * static_cast<size_t>(value_stride_);
  }
  uint16_t* key_block(int layer, int kv_head, int position) const {
    return keys(layer, kv_head) +
           static_cast<size_t>(position / kBlock * kBlock) * static_cast<size_t>(head_dim_);
  }
  uint16_t* value_row(int layer, int kv_head, int position) const {
    return values(layer, kv_head) + static_cast<size_t>(position) * static_cast<size_t>(value_stride_);
  }

 private:
  // Keys or values of all layers and heads.
  static size_t run_bytes(const ModelConfig& config, int context_length, int width) {
    return sizeof(uint16_t) * static_cast<size_t>(config.num_layers) *
           static_cast<size_t>(config.num_kv_heads) * round_up(static_cast<size_t>(context_length), kBlock) *
           static_cast<size_t>(width);
  }
  size_t run(int layer, int kv_head) const {
    return (static_cast<size_t>(layer) * static_cast<size_t>(num_kv_heads_) + static_cast<size_t>(kv_head)) *
           padded_context_;
  }

  int num_kv_heads_;
  int head_dim_;
  int value_stride_;
  size_t padded_context_;
  Buffer keys_;
  Buffer values_;
};

}  // namespace phonelm
