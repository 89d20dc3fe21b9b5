// One sequence of tokens on a model: its KV cache, its position, the logits of its last token.
#pragma once

#include <memory>
#include <span>

#include "graph/pass.h"

namespace phonelm {

class Session {
 public:
  // Throws Error for a context that is empty or longer than the model's, and adapters of another model. The
  // adapters stay the session's own to its end.
  Session(std::shared_ptr<const Model> model, int context_length,
          std::shared_ptr<Adapters> adapters = nullptr);

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
  const std::shared_ptr<Adapters>& adapters() const { return adapters_; }
  // Share of live FFN neurons by layer, over the tokens that were evaluated alone; empty before the first
  // such token, and for a model whose FFN is not stored neuron by neuron.
  std::vector<double> live_fractions() const;

 private:
  void check(std::span<const int32_t> tokens) const;
  void forward(std::span<const int32_t> tokens, float* all_logits);
  void run_chunk(std::span<const int32_t> tokens, float* all_logits);

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Adapters> adapters_;
  int context_length_;
  int position_ = 0;
  bool has_logits_ = false;
  KvCache cache_;
  Rows logits_;
  LiveCounts live_;
  int num_decoded_ = 0;
};

}  // namespace phonelm
