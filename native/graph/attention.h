// Causal attention of a chunk of tokens over the KV cache, by a running softmax (arXiv 1805.02867): no score
// matrix larger than 16 queries x 256 keys is ever kept.
#pragma once

#include "graph/kv_cache.h"
#include "graph/model.h"

namespace phonelm {

struct AttentionJob {
  const ModelConfig& config;
  const Kernels& kernels;
  const KvCache& cache;
  const Scratch& scratch;
  int layer;
  int position;    // of the chunk's first token
  int num_tokens;  // of the chunk
};

// Rotates this thread's share of the queries and keys and stores its share of keys and values in the cache.
void rotate_and_store(const AttentionJob& job, int thread, int num_threads);

// Attends with this thread's share of the (head, 16 tokens) units. All threads must have stored before.
void attend(const AttentionJob& job, int thread, int num_threads);

}  // namespace phonelm
