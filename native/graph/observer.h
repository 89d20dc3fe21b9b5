// Runs texts through a model's layers and keeps the inputs of its matrix products: what calibrated
// quantization asks for.
#pragma once

#include <memory>
#include <span>

#include "graph/kv_cache.h"
#include "graph/model.h"
#include "graph/observed_rows.h"

namespace phonelm {

class Observer {
 public:
  // Observes some layers, and the head's input where asked, of sequences of `context_length` tokens at most.
  // Throws Error for layers or a context that the model has not, or a FFN that is stored neuron by neuron.
  Observer(std::shared_ptr<const Model> model, int first_layer, int num_layers, bool with_head,
           int context_length);

  // Evaluates tokens, one chunk of `Scratch::kMaxChunk` at most, at a position of the sequence; at 0 a new
  // one begins. Layers behind the last observed one are left out. Throws Error for no tokens, too many or
  // unknown ones.
  void run(std::span<const int32_t> tokens, int position);
  int num_tokens() const { return num_tokens_; }
  // Of the tokens evaluated last. Throws Error for a layer that is not observed.
  const Rows& rows(int layer, ProductInput input) const;
  const Rows& head_rows() const;
  const Model& model() const { return *model_; }

 private:
  std::shared_ptr<const Model> model_;
  const int context_length_;
  KvCache cache_;
  const ObservedRows rows_;
  int num_tokens_ = 0;
};

}  // namespace phonelm
