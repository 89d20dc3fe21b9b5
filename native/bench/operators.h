// Cost of single operators, run as the graph runs them: on the thread team, with the barrier that follows,
// over enough copies of the weights that the caches hold as little as they do inside a whole model. Every
// function returns the median seconds of a call; sizes that make no sense throw Error.
#pragma once

#include <cstddef>
#include <string>

#include "gguf/gguf.h"
#include "graph/kv_cache.h"

namespace phonelm {

struct BenchOptions {
  size_t footprint_bytes = 0;  // of the model that the operator is part of
  double min_time_ms = 5.0;
  std::string isa;
  int num_threads = 0;
};

double bench_matmul(TensorType type, int rows, int cols, int num_tokens, const BenchOptions& options);
// Rotation, storing, and attention of `num_tokens` tokens that end at position `context`.
double bench_attention(int num_heads, int num_kv_heads, int head_dim, int context, int num_tokens,
                       const BenchOptions& options, KvType kv_type = KvType::F16);
// RMSNorm and quantization of the input of a matrix product.
double bench_norm(int hidden_size, int num_tokens, const BenchOptions& options);
// act(gate) * up, and quantization.
double bench_activation(int intermediate_size, int num_tokens, const BenchOptions& options);
// What a pass over `num_tokens` costs besides its layers and head: waking the team, the embedding, the rotary
// angles, greedy choice.
double bench_token_overhead(int vocab_size, int hidden_size, int num_tokens, const BenchOptions& options);
// Bytes a second that the threads read together from `num_bytes` of memory, each its own part.
double read_bandwidth(size_t num_bytes, int num_threads, double min_time_ms);
// Operations (two for a multiply-add) a second of the int8 kernel on data in the first caches.
double peak_int8_ops(int num_threads, const std::string& isa);

}  // namespace phonelm
