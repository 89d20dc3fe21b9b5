// What the graph builds: the native form of arch.DecoderConfig, read from GGUF metadata.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "kernels/kernels.h"

namespace phonelm {

// What a file says of a rope; the frequencies are computed from it.
struct RopeKeys {
  float theta = 10000.0f;
  // Of linear scaling or YaRN.
  float factor = 1.0f;
  bool is_yarn = false;
  int original_context = 0;
  float beta_fast = 32.0f;
  float beta_slow = 1.0f;
  // Beside YaRN's own.
  float magnitude = 1.0f;
  // Whether a tensor holds a factor for each frequency.
  bool has_factors = false;
};

// How queries and keys are rotated by their position.
struct Rope {
  // Radians per position, one for each pair of dimensions.
  std::vector<float> frequencies;
  // Of sequences that may grow beyond the model's original context (LongRoPE, arXiv 2402.13753); empty: as
  // above.
  std::vector<float> long_frequencies;
  // Factor of cos and sin.
  float magnitude = 1.0f;
  // Pairs (2 i, 2 i + 1) are rotated (llama, arcee, smollm3) instead of (i, i + d / 2).
  bool interleaved = false;
  // cos and sin rounded to round(127 x) / 127.
  bool int8 = false;
  RopeKeys keys;

  int num_pairs() const { return static_cast<int>(frequencies.size()); }
};

// Of a whole model.
struct NormShape {
  NormKind kind = NormKind::Rms;
  bool has_bias = false;
  float eps = 0.0f;

  const char* name() const { return kNormNames[static_cast<size_t>(kind)]; }
};

struct AttentionShape {
  // More than any context.
  static constexpr int kAll = 1 << 30;
  static constexpr int kNoRope = -1;

  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  // Factor of the products of queries and keys.
  float scale = 1.0f;
  // How many tokens one sees, itself included.
  int window = kAll;
  // Index into the model's ropes.
  int rope = 0;
  // Every head of query and key is normalized before it is rotated.
  bool qk_norm = false;

  int width() const { return num_heads * head_dim; }
  int kv_width() const { return num_kv_heads * head_dim; }
  // Query heads that share keys and values.
  int group_size() const { return num_heads / num_kv_heads; }
};

struct FfnShape {
  int intermediate_size = 0;
  bool gated = true;
  Activation activation = Activation::Silu;
};

// A layer reads the residual stream through a norm, twice: for attention, whose result is added to the
// residual, and then for the FFN.
struct LayerShape {
  AttentionShape attention;
  FfnShape ffn;
  // What attention and FFN give is normalized before it is added to the residual.
  bool post_norm = false;
};

struct ModelConfig {
  std::string architecture;
  int vocab_size = 0;
  int hidden_size = 0;
  int context_length = 0;
  // Sequences that may grow beyond it take the ropes' long frequencies.
  int original_context = AttentionShape::kAll;
  NormShape norm;
  float embedding_scale = 1.0f;
  std::vector<Rope> ropes;
  std::vector<LayerShape> layers;
  // Tensors that went into the ropes.
  std::vector<std::string> rope_tensors;

  int num_layers() const { return static_cast<int>(layers.size()); }
  const LayerShape& layer(int index) const { return layers[static_cast<size_t>(index)]; }
  bool is_long(int context) const { return context > original_context; }
  // Of a token, all ropes side by side: the angles before a rope's own, or all of them.
  int first_angle(int rope) const;
  int num_angles() const { return first_angle(static_cast<int>(ropes.size())); }
  // The most of any layer.
  template <typename SizeOf>
  int largest(SizeOf size_of) const {
    int most = 0;
    for (const LayerShape& layer : layers) most = std::max(most, size_of(layer));
    return most;
  }
};

// Throws Error: an architecture, a field or a value that the graph does not build, by its key's name.
ModelConfig read_config(const GgufFile& file);

// Throws Error for a token that is not in the vocabulary.
void check_tokens(const ModelConfig& config, std::span<const int32_t> tokens);

}  // namespace phonelm
