// Cost of single operators, run as the graph runs them: on the thread team, with the barrier that follows,
// over enough copies of the weights that the caches hold as little as they do inside a whole model. Every
// function returns the median seconds of a call; sizes that make no sense throw Error.
#pragma once

#include "bench/bench.h"
#include "graph/kv_cache.h"

namespace phonelm {

double bench_matmul(Bench& bench, TensorType type, int rows, int cols, int num_tokens);
// Rotation, storing, and attention of `num_tokens` tokens that end at position `context`.
double bench_attention(Bench& bench, int num_heads, int num_kv_heads, int head_dim, int context,
                       int num_tokens, KvType kv_type = KvType::F16);
// Norm, and queries, keys and values of together so many rows: a half, a quarter and a quarter.
double bench_project(Bench& bench, TensorType type, int rows, int hidden_size, int num_tokens);
// The output matrix of an attention of so many columns, added to the residual.
double bench_add_attention(Bench& bench, TensorType type, int hidden_size, int width, int num_tokens);
// Norm and FFN, with a SiLU, added to the residual.
double bench_ffn(Bench& bench, TensorType type, bool gated, int hidden_size, int intermediate_size,
                 int num_tokens);
// The same of a ReLU model that is stored neuron by neuron: in decode with so many of a hundred neurons live,
// in a batch with all of them computed.
double bench_neurons(Bench& bench, TensorType type, bool gated, int hidden_size, int intermediate_size,
                     int live_percent, int num_tokens);
// Norm and logits of one token.
double bench_head(Bench& bench, TensorType type, int vocab_size, int hidden_size);
// What a pass over `num_tokens` costs besides its layers and head: waking the team, the embedding, the rotary
// angles.
double bench_embed(Bench& bench, int vocab_size, int hidden_size, int num_tokens);
// The greedy choice of a token from logits that all threads have written.
double bench_sampling(Bench& bench, int vocab_size);
// The team meeting once.
double bench_barrier(Bench& bench);
// Bytes a second that the threads read together from `num_bytes` of memory, each its own part.
double read_bandwidth(Bench& bench, size_t num_bytes);
// Operations (two for a multiply-add) a second of the int8 kernel on data in the first caches.
double peak_int8_ops(int num_threads, const std::string& isa);

}  // namespace phonelm
