// What the graph builds: the native form of arch.DecoderConfig, read from GGUF metadata.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "kernels/kernels.h"

namespace phonelm {

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
  float norm_eps = 0.0f;
  // theta^(-2 i / rope_dim), in float32 as transformers computes them.
  std::vector<float> rope_frequencies;
  bool gated = true;
  Activation activation = Activation::Silu;
  // Pairs (2 i, 2 i + 1) are rotated (llama, arcee) instead of (i, i + d / 2) (phonelm).
  bool rope_interleaved = true;
  // cos and sin rounded to round(127 x) / 127.
  bool rope_int8 = false;
};

std::vector<float> rope_frequencies(float theta, int rope_dim);

// Throws Error: an architecture, a field or a value that the graph does not build, by its key's name.
ModelConfig read_config(const GgufFile& file);

// Throws Error for a token that is not in the vocabulary.
void check_tokens(const ModelConfig& config, std::span<const int32_t> tokens);

}  // namespace phonelm
