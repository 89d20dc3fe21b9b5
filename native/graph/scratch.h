// Working memory for a chunk of tokens. A model has one, used by one session's pass at a time; it holds
// nothing from one pass to the next. Virtual until touched: a model that only decodes keeps a few pages of it
// resident.
#pragma once

#include <algorithm>
#include <vector>

#include "core/buffer.h"
#include "graph/config.h"

namespace phonelm {

// Memory behind an `Activations`: as floats and as int8 groups.
class InputBuffer {
 public:
  InputBuffer(int max_tokens, int max_cols)
      : stride_(static_cast<int>(round_up(static_cast<size_t>(max_cols), kGroupSize))),
        values_(count(max_tokens) * sizeof(float)),
        quants_(count(max_tokens)),
        scales_(count(max_tokens) / kGroupSize * sizeof(float)),
        offsets_(scales_.size()),
        scaled_sums_(scales_.size()),
        low_quants_(quants_.size()),
        low_scales_(scales_.size()),
        low_offsets_(scales_.size()),
        low_tokens_(scales_.size()),
        half_offsets_(2 * scales_.size()),
        low_half_offsets_(2 * scales_.size()),
        scaled_half_sums_(2 * scales_.size()) {}

  float* values(int token) const {
    return values_.as<float>() + static_cast<size_t>(token) * static_cast<size_t>(stride_);
  }

  Activations view(int num_tokens, int cols) const {
    Activations view;
    view.values = values_.as<float>();
    view.stride = stride_;
    view.num_tokens = num_tokens;
    view.num_groups = cols / kGroupSize;
    view.block = num_tokens == 1 ? 1 : kTokenBlock;
    view.quants = quants_.as<int8_t>();
    view.scales = scales_.as<float>();
    view.offsets = offsets_.as<int32_t>();
    view.scaled_sums = scaled_sums_.as<float>();
    view.low_quants = low_quants_.as<int8_t>();
    view.low_scales = low_scales_.as<float>();
    view.low_offsets = low_offsets_.as<int32_t>();
    view.low_tokens = low_tokens_.as<uint16_t>();
    view.half_offsets = half_offsets_.as<int32_t>();
    view.low_half_offsets = low_half_offsets_.as<int32_t>();
    view.scaled_half_sums = scaled_half_sums_.as<float>();
    view.low_limit = num_tokens == 1 ? 0.0f : kBatchLowLimit;
    return view;
  }

 private:
  // Whole blocks of tokens, so that the last one has room for all its places.
  size_t count(int max_tokens) const {
    return round_up(static_cast<size_t>(max_tokens), max_tokens == 1 ? 1 : kTokenBlock) *
           static_cast<size_t>(stride_);
  }

  int stride_;
  Buffer values_;
  Buffer quants_;
  Buffer scales_;
  Buffer offsets_;
  Buffer scaled_sums_;
  Buffer low_quants_;
  Buffer low_scales_;
  Buffer low_offsets_;
  Buffer low_tokens_;
  Buffer half_offsets_;
  Buffer low_half_offsets_;
  Buffer scaled_half_sums_;
};

// A matrix of floats, a row a token.
struct Rows {
  Rows(int num_tokens, int width)
      : stride(static_cast<int>(round_up(static_cast<size_t>(width), kPanelRows))),
        buffer(static_cast<size_t>(num_tokens) * static_cast<size_t>(stride) * sizeof(float)) {}
  float* row(int token) const {
    return buffer.as<float>() + static_cast<size_t>(token) * static_cast<size_t>(stride);
  }

  int stride;
  Buffer buffer;
};

// One thread's memory for attention.
struct AttentionScratch {
  AttentionScratch(const ModelConfig& config, int key_block, int num_threads)
      : scores(kTokenBlock, key_block),
        weighted(kTokenBlock, config.head_dim),
        part_state(num_parts(config, num_threads), 2),
        part_weighted(num_parts(config, num_threads), config.head_dim) {}

  // Of all heads for this thread's share of the keys, or of all shares for up to 16 heads that share keys.
  static int num_parts(const ModelConfig& config, int num_threads) {
    const int group_size = config.num_heads / config.num_kv_heads;
    return std::max(config.num_heads, num_threads * std::min(group_size, kTokenBlock));
  }

  Rows scores, weighted;
  // Of a share of one token's keys and a head: the maximum and sum of the softmax, the weighted values.
  Rows part_state, part_weighted;
};

struct Scratch {
  // Tokens evaluated at once: enough to reuse weights from the first cache, few enough to stay in the second.
  static constexpr int kMaxChunk = 256;
  // Keys whose scores are kept at once by the running softmax.
  static constexpr int kKeyBlock = 256;

  Scratch(const ModelConfig& config, int context_length, int num_threads)
      : chunk(std::min(context_length, kMaxChunk)),
        residual(chunk, config.hidden_size),
        query(chunk, config.num_heads * config.head_dim),
        key(chunk, config.num_kv_heads * config.head_dim),
        value(chunk, config.num_kv_heads * config.head_dim),
        attention(chunk, config.num_heads * config.head_dim),
        gate(chunk, config.intermediate_size),
        up(chunk, config.intermediate_size),
        branch(chunk, config.post_norm ? config.hidden_size : 0),
        cosines(chunk, config.num_angles()),
        sines(chunk, config.num_angles()),
        shared_input(chunk, widest(config)) {
    for (int thread = 0; thread < num_threads; ++thread) {
      own_input.emplace_back(1, widest(config));
      threads.emplace_back(config, kKeyBlock, num_threads);
      neurons.emplace_back(static_cast<size_t>(config.intermediate_size) * sizeof(int32_t));
      panels.emplace_back(largest_panel(config));
    }
  }

  static int widest(const ModelConfig& config) {
    return std::max({config.hidden_size, config.num_heads * config.head_dim, config.intermediate_size});
  }

  // A panel of the FFN's matrices in the widest type that is stored neuron by neuron, or a token's two terms.
  static size_t largest_panel(const ModelConfig& config) {
    const int cols = std::max(config.hidden_size, config.intermediate_size);
    return std::max(packed_layout(TensorType::Q8_0, kPanelRows, cols).panel_bytes,
                    2 * runs_bytes(config.hidden_size));
  }

  int32_t* live(int thread) const { return neurons[static_cast<size_t>(thread)].as<int32_t>(); }
  std::byte* panel(int thread) const { return panels[static_cast<size_t>(thread)].data(); }

  int chunk;
  Rows residual, query, key, value, attention, gate, up;
  // What attention or FFN gives, where it is normalized before it is added to the residual.
  Rows branch;
  // All ropes side by side.
  Rows cosines, sines;
  InputBuffer shared_input;
  // One a thread.
  std::vector<InputBuffer> own_input;
  std::vector<AttentionScratch> threads;
  std::vector<Buffer> neurons;
  std::vector<Buffer> panels;
};

}  // namespace phonelm
