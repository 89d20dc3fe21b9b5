// The operators of a layer's attention: projections, attention itself, and its output added to the residual.
#pragma once

#include "graph/attention.h"
#include "graph/products.h"

namespace phonelm {

class AttentionBlock {
 public:
  AttentionBlock(const Products& products, int layer);

  // Queries, keys and values of the normalized residual.
  void project(int thread) const;
  // Over the KV cache, to which the new keys and values are added first.
  void attend(int thread) const;
  // After `attend`, whose parts it puts together.
  void add_to_residual(int thread) const;

 private:
  AttentionJob job() const;

  const Products& products_;
  const int index_;
  const Layer& layer_;
  const AttentionShape& shape_;
  const LayerAdapters& adapters_;
  const Products::Form form_;
};

}  // namespace phonelm
