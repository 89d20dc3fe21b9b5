// What the graph builds: the native form of arch.DecoderConfig, read from GGUF metadata.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "kernels/kernels.h"

namespace phonelm {

// How queries and keys are turned by their position.
struct Rope {
  // Radians a position, one for each pair of dimensions.
  std::vector<float> frequencies;
  // Of sequences that may grow beyond the model's original context (LongRoPE, arXiv 2402.13753); empty: as
  // above.
  std::vector<float> long_frequencies;
  // Factor of cos and sin.
  float magnitude = 1.0f;
};

// What may differ from layer to layer.
struct LayerConfig {
  // More than any context.
  static constexpr int kAll = 1 << 30;
  static constexpr int kNoRope = -1;

  // How many tokens one sees, itself included.
  int window = kAll;
  // Index into the model's ropes.
  int rope = 0;
};

struct ModelConfig {
  std::string architecture;
  int vocab_size = 0;
  int hidden_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int rope_dim = 0;
  int intermediate_size = 0;
  int context_length = 0;
  // Sequences that may grow beyond it take the ropes' long frequencies.
  int original_context = LayerConfig::kAll;
  float norm_eps = 0.0f;
  float embedding_scale = 1.0f;
  // Factor of the products of queries and keys.
  float attention_scale = 1.0f;
  bool gated = true;
  Activation activation = Activation::Silu;
  // Every head of query and key is normalized before it is turned.
  bool qk_norm = false;
  // What attention and FFN give is normalized before it is added to the residual.
  bool post_norm = false;
  // Pairs (2 i, 2 i + 1) are rotated (llama, arcee, smollm3) instead of (i, i + d / 2).
  bool rope_interleaved = false;
  // cos and sin rounded to round(127 x) / 127.
  bool rope_int8 = false;
  std::vector<Rope> ropes;
  std::vector<LayerConfig> layers;
  // Tensors that went into the ropes.
  std::vector<std::string> rope_tensors;

  bool is_long(int context) const { return context > original_context; }
  // Of a token, all ropes side by side.
  int num_angles() const { return static_cast<int>(ropes.size()) * rope_dim / 2; }
  const LayerConfig& layer(int index) const { return layers[static_cast<size_t>(index)]; }
};

// Throws Error: an architecture, a field or a value that the graph does not build, by its key's name.
ModelConfig read_config(const GgufFile& file);

// Throws Error for a token that is not in the vocabulary.
void check_tokens(const ModelConfig& config, std::span<const int32_t> tokens);

}  // namespace phonelm
