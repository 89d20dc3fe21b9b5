// How many threads suit a model: measured on its own weights, because the answer depends on the memory, the
// caches, the other work of the machine and the model's size at once.
#pragma once

#include <vector>

#include "kernels/kernels.h"
#include "threads/pool.h"

namespace phonelm {

struct ThreadChoice {
  int decode = 1;   // for one token
  int prefill = 1;  // for a batch
};

// Powers of two, the physical cores and all cores, in ascending order.
std::vector<int> thread_candidates(int num_physical, int num_cores);

// Times products of `matrices`, a few milliseconds for each number of threads, with one token and with
// `num_tokens`. What is slower by less than a few percent but needs fewer threads is preferred. Takes 10 to
// 40 ms, on a busy machine 100.
ThreadChoice measure_threads(const std::vector<const PackedMatrix*>& matrices, const Kernels& kernels,
                             int num_tokens, ThreadPool& pool);

}  // namespace phonelm
