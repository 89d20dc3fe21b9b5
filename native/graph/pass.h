// One forward pass of a chunk of tokens, as its threads run it together: the graph's operators in order.
// Inside `graph.threads.run` with the options' number of threads only.
#pragma once

#include "graph/products.h"

namespace phonelm {

class Pass {
 public:
  Pass(const Graph& graph, std::span<const int32_t> tokens, const Plan& plan, const PassOptions& options)
      : products_(graph, tokens, plan, options) {}

  // Every thread calls these, in the same order. After `run_layers` the residual holds every token's state.
  void run_layers(int thread) const;
  // Only what the options' observer asks for: its layers, and the normalized residual at their end.
  void observe(int thread) const;
  // One operator of the list but the head.
  void run(const Operator& op, int thread) const;
  // Logits of the tokens `rows`, at most a chunk, row i at out + i * stride. This thread's share of the
  // vocabulary is written; the others' is after a barrier. `batch_invariant` rounds the head's input as for a
  // single token, whatever the number of rows and the pass.
  void run_head(std::span<const int32_t> rows, bool batch_invariant, float* out, int stride,
                int thread) const;
  // The part of the vocabulary that `run_head` gives to a thread.
  Range head_share(int thread) const;

 private:
  void embed(int thread) const;

  const Products products_;
};

}  // namespace phonelm
