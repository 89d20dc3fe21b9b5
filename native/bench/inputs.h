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

// Random numbers of a bell, the same each time.
void fill(const Rows& rows);
// The same row for every token, quantized.
Activations filled_input(const Kernels& kernels, const InputBuffer& memory, int num_tokens, int cols);
// What the next operator does first: it reads rows of which the other threads have just written a part, so
// that they have to come over from the other cores' caches.
void read_back(const Bench& bench, const Rows& rows, int num_tokens, int thread);

// The inputs that the threads make: of one token each its own, of several together one.
class Inputs {
 public:
  Inputs(const Bench& bench, int cols, int num_tokens) : bench_(bench), cols_(cols), num_tokens_(num_tokens) {
    const int num_inputs = num_tokens == 1 ? bench.pool().num_threads() : 1;
    for (int i = 0; i < num_inputs; ++i) memories_.emplace_back(num_tokens, cols);
  }
  Activations of(int thread) const {
    return memories_[num_tokens_ == 1 ? static_cast<size_t>(thread) : 0].view(num_tokens_, cols_);
  }
  Range share(int thread) const {
    return num_tokens_ == 1 ? Range{0, 1} : bench_.share(num_tokens_, thread, kTokenBlock);
  }

 private:
  const Bench& bench_;
  int cols_;
  int num_tokens_;
  std::vector<InputBuffer> memories_;
};

}  // namespace phonelm
