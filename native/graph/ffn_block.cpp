#include "graph/ffn_block.h"

namespace phonelm {

FfnBlock::FfnBlock(const Products& products, int layer)
    : products_(products),
      index_(layer),
      layer_(products.graph.layer(layer)),
      shape_(products.graph.config.layer(layer).ffn),
      adapters_(products.adapters_of(layer)) {}

// Up stored neuron by neuron reads quants.
Products::Form FfnBlock::input_form() const {
  Products::Form form = Products::form_for({&layer_.gate, &layer_.up});
  form.quants = form.quants || layer_.by_neuron();
  return products_.observed(Products::adapted(form, {&adapters_.gate, &adapters_.up}), index_,
                            ProductInput::Ffn);
}

void FfnBlock::activate(Range panels) const {
  const int begin = panels.begin * kPanelRows;
  const int size = panels.end * kPanelRows - begin;
  for (int token = 0; token < products_.num_tokens(); ++token) {
    const float* up = shape_.gated ? products_.scratch.up.row(token) + begin : nullptr;
    products_.kernels().activate(shape_.activation, activated().row(token) + begin, up, size);
  }
}

void FfnBlock::run(int thread) const {
  const Scratch& s = products_.scratch;
  const Activations normed = products_.prepare_normed(layer_.ffn_norm, input_form(), thread);
  const Range share = products_.multiply(layer_.up, adapters_.up, normed, s.up, false, thread);
  if (shape_.gated) products_.multiply(layer_.gate, adapters_.gate, normed, s.gate, false, thread);
  // Gate and up have the same panels, so a thread activates just what it made.
  activate(share);
  products_.barrier();
  const Products::Form form =
      products_.observed(Products::adapted(Products::form_for({&layer_.down}), {&adapters_.down}), index_,
                         ProductInput::FfnDown);
  const Activations input = products_.prepare_rows(activated(), shape_.intermediate_size, form, thread);
  products_.multiply_into_residual(layer_.down, adapters_.down, input, layer_.ffn_post_norm, thread);
  products_.barrier();
  products_.lap(Part::Ffn, thread);
}

}  // namespace phonelm
