// Working memory for a chunk of tokens. A model has one, used by one session's pass at a time; it holds
// nothing from one pass to the next. Virtual until touched: a model that only decodes keeps a few pages of it
// resident.
#pragma once

#include <algorithm>
#include <vector>

#include "core/buffer.h"
#include "graph/config.h"

namespace phonelm {

// Takes memory, or only counts what would be taken.
class Allocator {
 public:
  enum class Mode { Take, Count };

  explicit Allocator(Mode mode = Mode::Take) : mode_(mode) {}
  Buffer take(size_t num_bytes) {
    num_bytes_ += num_bytes;
    return mode_ == Mode::Take ? Buffer(num_bytes) : Buffer();
  }
  size_t num_bytes() const { return num_bytes_; }

 private:
  Mode mode_;
  size_t num_bytes_ = 0;
};

// Memory behind an `Activations`: as floats and as int8 groups.
class InputBuffer {
 public:
  InputBuffer(int max_tokens, int max_cols, Allocator&& allocator = Allocator())
      : InputBuffer(max_tokens, max_cols, allocator) {}
  InputBuffer(int max_tokens, int max_cols, Allocator& allocator)
      : stride_(static_cast<int>(round_up(static_cast<size_t>(max_cols), kGroupSize))),
        values_(allocator.take(count(max_tokens) * sizeof(float))),
        quants_(allocator.take(count(max_tokens))),
        scales_(of_groups(max_tokens, allocator)),
        offsets_(of_groups(max_tokens, allocator)),
        scaled_sums_(of_groups(max_tokens, allocator)),
        residual_quants_(allocator.take(count(max_tokens))),
        residual_scales_(of_groups(max_tokens, allocator)),
        residual_offsets_(of_groups(max_tokens, allocator)),
        residual_tokens_(of_groups(max_tokens, allocator)),
        half_offsets_(of_groups(max_tokens, allocator, 2)),
        residual_half_offsets_(of_groups(max_tokens, allocator, 2)),
        scaled_half_sums_(of_groups(max_tokens, allocator, 2)) {}

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
    view.residual_quants = residual_quants_.as<int8_t>();
    view.residual_scales = residual_scales_.as<float>();
    view.residual_offsets = residual_offsets_.as<int32_t>();
    view.residual_tokens = residual_tokens_.as<uint16_t>();
    view.half_offsets = half_offsets_.as<int32_t>();
    view.residual_half_offsets = residual_half_offsets_.as<int32_t>();
    view.scaled_half_sums = scaled_half_sums_.as<float>();
    view.residual_limit = num_tokens == 1 ? 0.0f : kBatchResidualLimit;
    return view;
  }

 private:
  // Whole blocks of tokens, so that the last one has room for all its places.
  size_t count(int max_tokens) const {
    return round_up(static_cast<size_t>(max_tokens), max_tokens == 1 ? 1 : kTokenBlock) *
           static_cast<size_t>(stride_);
  }
  // So many numbers of four bytes for each group.
  Buffer of_groups(int max_tokens, Allocator& allocator, size_t num_numbers = 1) const {
    return allocator.take(num_numbers * count(max_tokens) / kGroupSize * sizeof(float));
  }

  int stride_;
  Buffer values_;
  Buffer quants_;
  Buffer scales_;
  Buffer offsets_;
  Buffer scaled_sums_;
  Buffer residual_quants_;
  Buffer residual_scales_;
  Buffer residual_offsets_;
  Buffer residual_tokens_;
  Buffer half_offsets_;
  Buffer residual_half_offsets_;
  Buffer scaled_half_sums_;
};

// A matrix of floats, one row per token.
struct Rows {
  Rows(int num_tokens, int width, Allocator&& allocator = Allocator()) : Rows(num_tokens, width, allocator) {}
  Rows(int num_tokens, int width, Allocator& allocator)
      : stride(static_cast<int>(round_up(static_cast<size_t>(width), kPanelRows))),
        buffer(
            allocator.take(static_cast<size_t>(num_tokens) * static_cast<size_t>(stride) * sizeof(float))) {}
  float* row(int token) const {
    return buffer.as<float>() + static_cast<size_t>(token) * static_cast<size_t>(stride);
  }

  int stride;
  Buffer buffer;
};

// One thread's memory for attention.
struct AttentionScratch {
  AttentionScratch(const ModelConfig& config, int key_block, int num_threads, Allocator& allocator)
      : scores(kTokenBlock, key_block, allocator),
        weighted(kTokenBlock, head_dim(config), allocator),
        part_state(num_parts(config, num_threads), 2, allocator),
        part_weighted(num_parts(config, num_threads), head_dim(config), allocator) {}

  static int head_dim(const ModelConfig& config) {
    return config.largest([](const LayerShape& layer) { return layer.attention.head_dim; });
  }
  // Of all heads for this thread's share of the keys, or of all shares for up to 16 heads that share keys.
  static int num_parts(const ModelConfig& config, int num_threads) {
    return config.largest([num_threads](const LayerShape& layer) {
      const AttentionShape& attention = layer.attention;
      return std::max(attention.num_heads, num_threads * std::min(attention.group_size(), kTokenBlock));
    });
  }

  Rows scores, weighted;
  // Of a share of one token's keys and a head: the maximum and sum of the softmax, the weighted values.
  Rows part_state, part_weighted;
};

// The widest rows of any layer.
struct Widths {
  explicit Widths(const ModelConfig& config)
      : hidden(config.hidden_size),
        query(config.largest([](const LayerShape& layer) { return layer.attention.width(); })),
        key(config.largest([](const LayerShape& layer) { return layer.attention.kv_width(); })),
        ffn(config.largest([](const LayerShape& layer) { return layer.ffn.intermediate_size; })),
        branch(config.largest([](const LayerShape& layer) { return int{layer.post_norm}; }) * hidden),
        angles(config.num_angles()) {}

  // Of an input of a product.
  int input() const { return std::max({hidden, query, ffn}); }

  int hidden, query, key, ffn;
  int branch;  // 0 where no layer normalizes what it adds
  int angles;
};

struct Scratch {
  // Tokens evaluated at once: enough to reuse weights from L1, few enough to stay in the L2 cache.
  static constexpr int kMaxChunk = 256;
  // Keys whose scores are kept at once by the running softmax.
  static constexpr int kKeyBlock = 256;

  Scratch(const ModelConfig& config, int context_length, int num_threads, Allocator&& allocator = Allocator())
      : Scratch(Widths(config), config, std::min(context_length, kMaxChunk), num_threads, allocator) {}

  // What one will take, before it is made.
  static size_t bytes_for(const ModelConfig& config, int context_length, int num_threads) {
    Allocator counter(Allocator::Mode::Count);
    const Scratch scratch(Widths(config), config, std::min(context_length, kMaxChunk), num_threads, counter);
    return counter.num_bytes();
  }

  // A panel of the FFN's matrices in the widest type that is stored neuron by neuron, or a token's two terms.
  static size_t largest_panel(const Widths& widths) {
    return std::max(
        packed_layout(TensorType::Q8_0, kPanelRows, std::max(widths.hidden, widths.ffn)).panel_bytes,
        2 * runs_bytes(widths.hidden));
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
  // One per thread.
  std::vector<InputBuffer> own_input;
  std::vector<AttentionScratch> threads;
  std::vector<Buffer> neurons;
  std::vector<Buffer> panels;

 private:
  Scratch(const Widths& widths, const ModelConfig& config, int num_tokens, int num_threads,
          Allocator& allocator)
      : chunk(num_tokens),
        residual(chunk, widths.hidden, allocator),
        query(chunk, widths.query, allocator),
        key(chunk, widths.key, allocator),
        value(chunk, widths.key, allocator),
        attention(chunk, widths.query, allocator),
        gate(chunk, widths.ffn, allocator),
        up(chunk, widths.ffn, allocator),
        branch(chunk, widths.branch, allocator),
        cosines(chunk, widths.angles, allocator),
        sines(chunk, widths.angles, allocator),
        shared_input(chunk, widths.input(), allocator) {
    for (int thread = 0; thread < num_threads; ++thread) {
      own_input.emplace_back(1, widths.input(), allocator);
      threads.emplace_back(config, kKeyBlock, num_threads, allocator);
      neurons.push_back(allocator.take(static_cast<size_t>(widths.ffn) * sizeof(int32_t)));
      panels.push_back(allocator.take(largest_panel(widths)));
    }
  }
};

// Working memory of a model and the logits of one session, before any of it is there.
inline size_t buffer_bytes(const ModelConfig& config, int num_threads) {
  return Scratch::bytes_for(config, config.context_length, num_threads) +
         sizeof(float) * static_cast<size_t>(config.vocab_size);
}

}  // namespace phonelm
