// One sequence of tokens on a model: its KV cache, its position, the logits of its last token.
#pragma once

#include <memory>
#include <span>

#include "graph/attention.h"

namespace phonelm {

class Session {
 public:
  // Throws Error for a context that is empty or longer than the model's.
  Session(std::shared_ptr<const Model> model, int context_length);

  // Evaluates tokens after those before; the last one's logits are kept. Throws Error for an unknown token or
  // an overrun of the context, before anything has changed.
  void prefill(std::span<const int32_t> tokens);
  // The same, with the logits of every token: row i of `out` starts at i * logits_stride().
  void prefill_logits(std::span<const int32_t> tokens, float* out);
  // Forgets the tokens from `position` on; the logits are those of the last evaluation still.
  void truncate(int position);

  // Of the last token evaluated; empty before the first.
  std::span<const float> logits() const;
  int logits_stride() const { return logits_.stride; }
  int position() const { return position_; }
  int context_length() const { return context_length_; }
  size_t kv_bytes() const { return cache_.num_bytes(); }
  const Model& model() const { return *model_; }

 private:
  void check(std::span<const int32_t> tokens) const;
  void forward(std::span<const int32_t> tokens, float* all_logits);
  void run_thread(std::span<const int32_t> tokens, float* all_logits, int thread);
  void embed(std::span<const int32_t> tokens, int thread);
  void run_layer(int layer, int num_tokens, int thread);
  void run_ffn(const Layer& layer, int num_tokens, int thread);
  void run_head(int num_tokens, float* all_logits, int thread);
  // The input of a matrix product: `fill(token, out)` makes its rows, which are then quantized.
  template <typename Fill>
  Activations prepare(int num_tokens, int cols, int thread, Fill fill);
  // The residual from row `first` on, normalized.
  Activations prepare_normed(int first, int num_tokens, const float* norm, int thread);
  Activations prepare_attended(const AttentionJob& job, int thread);
  // This thread's rows of the product.
  Range multiply(const PackedMatrix& weights, const Activations& input, float* out, int out_stride,
                 bool accumulate, int thread);

  std::shared_ptr<const Model> model_;
  int context_length_;
  int position_ = 0;
  bool has_logits_ = false;
  KvCache cache_;
  const Scratch& scratch_;
  Rows logits_;
};

}  // namespace phonelm
