// Causal attention of a chunk of tokens over the KV cache, by a running softmax (arXiv 1805.02867): no score
// matrix larger than 16 queries x 256 keys is ever kept.
#pragma once

#include "graph/graph.h"
#include "graph/plan.h"

namespace phonelm {

struct AttentionJob {
  const Graph& graph;
  const Plan& plan;
  int layer;
  int num_threads;
  bool may_round;        // see HalfPanels
  bool batch_invariant;  // each token as if it came alone

  const AttentionShape& shape() const { return graph.config.layer(layer).attention; }
  const Kernels& kernels() const { return graph.kernels; }
  const Scratch& scratch() const { return graph.scratch; }
};

// Normalizes and rotates this thread's share of the queries and keys and stores its share of keys and values
// in the cache.
void rotate_and_store(const AttentionJob& job, int thread);

// This thread's part of the attention; all threads must have stored before. Of several tokens it is some
// heads and tokens, and leaves them in the scratch memory's `attention`; of one token it is a share of the
// keys, and leaves a part that `combine_shares` puts together once all threads are done.
void attend(const AttentionJob& job, int thread);

// The attention of one token, all heads, from the threads' shares.
void combine_shares(const AttentionJob& job, float* out);

// Stores the keys of a cache's sinks again, as if they stood right before the tokens that follow them now,
// after `num_dropped` tokens between have left.
void rotate_sinks(const ModelConfig& config, const Kernels& kernels, const KvCache& cache,
                  int64_t num_dropped, bool is_long);

}  // namespace phonelm
