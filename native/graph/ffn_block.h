// The operator of a layer's FFN, whose result is added to the residual.
#pragma once

#include "graph/products.h"

namespace phonelm {

class FfnBlock {
 public:
  FfnBlock(const Products& products, int layer);

  void run(int thread) const;
  // Stored neuron by neuron: single tokens read only the active neurons, batches turn panels back.
  void run_by_neuron(int thread) const;

 private:
  // The activated rows: of the gate, or of up where there is none.
  const Rows& activated() const { return shape_.gated ? products_.scratch.gate : products_.scratch.up; }
  Products::Form input_form() const;
  // This thread's neurons of all tokens, whose products the caller has made.
  void activate(Range panels) const;
  void run_batch_by_neuron(int thread) const;
  // One token: what is live differs from token to token.
  void activate_live(int token, int thread) const;
  void multiply_live(int token, const Activations& input, int num_live, Range share, int thread) const;
  void add_live(int token, int thread) const;

  const Products& products_;
  const int index_;
  const Layer& layer_;
  const FfnShape& shape_;
  const LayerAdapters& adapters_;
};

}  // namespace phonelm
