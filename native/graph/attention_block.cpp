#include "graph/attention_block.h"

namespace phonelm {

AttentionBlock::AttentionBlock(const Products& products, int layer)
    : products_(products),
      index_(layer),
      layer_(products.graph.layer(layer)),
      shape_(products.graph.config.layer(layer).attention),
      adapters_(products.adapters_of(layer)),
      form_(
          products.observed(Products::adapted(Products::form_for({&layer_.query, &layer_.key, &layer_.value}),
                                              {&adapters_.query, &adapters_.key, &adapters_.value}),
                            layer, ProductInput::Attention)) {}

void AttentionBlock::project(int thread) const {
  const Scratch& s = products_.scratch;
  const Activations normed = products_.prepare_normed(layer_.attention_norm, form_, thread);
  products_.multiply(layer_.query, adapters_.query, normed, s.query, false, thread);
  products_.multiply(layer_.key, adapters_.key, normed, s.key, false, thread);
  products_.multiply(layer_.value, adapters_.value, normed, s.value, false, thread);
  products_.barrier();
  products_.lap(Part::Projections, thread);
}

AttentionJob AttentionBlock::job() const {
  const bool may_round = form_.quants && !products_.batch_invariant;
  return {products_.graph,       products_.plan, index_,
          products_.num_threads, may_round,      products_.batch_invariant};
}

void AttentionBlock::attend(int thread) const {
  rotate_and_store(job(), thread);
  products_.barrier();
  phonelm::attend(job(), thread);
  products_.barrier();
  products_.lap(Part::Attention, thread);
}

void AttentionBlock::add_to_residual(int thread) const {
  const Products::Form form =
      products_.observed(Products::adapted(Products::form_for({&layer_.output}), {&adapters_.output}), index_,
                         ProductInput::AttentionOutput);
  const auto combine = [this](int, float* out) { combine_shares(job(), out); };
  const Activations attended =
      products_.num_tokens() == 1
          ? products_.prepare(1, shape_.width(), form, thread, combine)
          : products_.prepare_rows(products_.scratch.attention, shape_.width(), form, thread);
  products_.multiply_into_residual(layer_.output, adapters_.output, attended, layer_.attention_post_norm,
                                   thread);
  products_.barrier();
  products_.lap(Part::Projections, thread);
}

}  // namespace phonelm
