// The inputs of a pass's matrix products as floats, before anything is rounded, kept for whoever asks.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "graph/scratch.h"

namespace phonelm {

// What reads them: queries, keys and values; attention's output; gate and up; down.
enum class ProductInput { Attention, AttentionOutput, Ffn, FfnDown };
inline constexpr std::array<const char*, 4> kProductInputNames{"attention", "attention_output", "ffn",
                                                               "ffn_down"};

class ObservedRows {
 public:
  ObservedRows(const ModelConfig& config, int first_layer, int num_layers, bool with_head, int max_tokens)
      : first_layer_(first_layer) {
    for (int layer = first_layer; layer < first_layer + num_layers; ++layer) {
      for (const int width : widths(config, layer)) rows_.emplace_back(max_tokens, width);
    }
    if (with_head) head_.emplace(max_tokens, config.hidden_size);
  }

  static std::array<int, kProductInputNames.size()> widths(const ModelConfig& config, int layer) {
    const LayerShape& shape = config.layer(layer);
    return {config.hidden_size, shape.attention.width(), config.hidden_size, shape.ffn.intermediate_size};
  }
  // None for a layer that is not observed, and for the head's input where it is not.
  const Rows* of(int layer, ProductInput input) const {
    const auto index = static_cast<size_t>(layer - first_layer_) * kProductInputNames.size();
    return layer >= first_layer_ && index < rows_.size() ? &rows_[index + static_cast<size_t>(input)]
                                                         : nullptr;
  }
  const Rows* of_head() const { return head_ ? &*head_ : nullptr; }
  // The layers from here on need not run.
  int end_layer() const { return first_layer_ + static_cast<int>(rows_.size() / kProductInputNames.size()); }

 private:
  int first_layer_;
  std::vector<Rows> rows_;
  std::optional<Rows> head_;
};

}  // namespace phonelm
