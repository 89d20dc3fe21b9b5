// What single operators are measured on, as the graph lays it out.
#pragma once

#include "bench/bench.h"
#include "graph/scratch.h"

namespace phonelm {

inline constexpr size_t kLineBytes = 64;

// Where the weights of a call begin: one after the other round the footprint, wherever that ends.
inline size_t footprint_offset(int call, size_t num_bytes, size_t footprint) {
  return static_cast<size_t>(call) * num_bytes % footprint / kLineBytes * kLineBytes;
}

// Random numbers of a normal distribution, the same each time.
void fill(const Rows& rows);
// The same row for every token, quantized.
Activations filled_input(const Kernels& kernels, const InputBuffer& memory, int num_tokens, int cols);
// What the next operator does first: it reads rows of which the other threads have just written a part, so
// that they have to come over from the other cores' caches.
void read_back(const Bench& bench, const Rows& rows, int num_tokens, int thread);

}  // namespace phonelm
