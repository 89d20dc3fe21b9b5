// What the measurements of single operators share: kernels, a team of threads, memory that stands for the
// weights of a model, and the clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "gguf/gguf.h"
#include "kernels/kernels.h"
#include "threads/pool.h"

namespace phonelm {

struct BenchOptions {
  size_t footprint_bytes = 0;  // of the model that the operator is part of
  double min_time_ms = 5.0;
  std::string isa;
  int num_threads = 0;
};

// Throws Error("cannot measure an operator: ...").
void require_measurable(bool holds, const std::string& what);
void require_sizes(std::initializer_list<int> sizes);

// Kept from one measurement to the next, so that each begins at once: a footprint of weights takes longer to
// fill than to read a hundred times. One measurement at a time.
class Bench {
 public:
  explicit Bench(const BenchOptions& options);

  const Kernels& kernels() const { return kernels_; }
  ThreadPool& pool() const { return pool_; }
  size_t footprint() const { return options_.footprint_bytes; }
  // Whether another measurement's team and kernels are these; footprint and time may change.
  bool is_for(const BenchOptions& options) const;
  void set(const BenchOptions& options);

  // The part of `total` that a thread does.
  Range share(int total, int thread, int granule = 1) const {
    return share_of(total, thread, pool_.num_threads(), granule);
  }
  // At least `num_bytes` of what weights look like.
  const std::byte* arena(size_t num_bytes);
  // Reads a thread's part of the memory.
  void read_share(const std::byte* memory, size_t num_bytes, int thread);

  // Median seconds of `work(thread, call)` on a team, over samples that each last a share of the time asked
  // for; of no time, of one call. `call` counts on from measurement to measurement.
  template <typename Work>
  double median_call(ThreadPool& team, Work&& work);
  template <typename Work>
  double median_call(Work&& work) {
    return median_call(pool_, work);
  }
  // The same of `work` alone, before each call of which the team reads the next `num_bytes` of the arena, as
  // the rest of a model would: what the work reads then comes from as far away as in a model, the tables of
  // the pages included.
  template <typename Work>
  double median_call_between(size_t num_bytes, Work&& work);

 private:
  static constexpr int kNumSamples = 5;

  BenchOptions options_;
  const Kernels& kernels_;
  mutable ThreadPool pool_;
  Buffer arena_;
  std::vector<uint64_t> sums_;  // of what the threads read, so that it is read
  int next_call_ = 0;
};

template <typename Work>
double Bench::median_call(ThreadPool& team, Work&& work) {
  using Clock = std::chrono::steady_clock;
  const auto time_calls = [&](int num_calls) {
    const int first = next_call_;
    next_call_ = (next_call_ + num_calls) % (1 << 28);
    const auto start = Clock::now();
    team.run([&](int thread) {
      for (int call = first; call < first + num_calls; ++call) work(thread, call);
    });
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  if (options_.min_time_ms == 0.0) return time_calls(1);
  const double goal = std::max(options_.min_time_ms, 0.1) * 1e-3 / kNumSamples;
  int num_calls = 1;
  while (true) {
    const double taken = time_calls(num_calls);
    if (taken >= goal || num_calls >= (1 << 24)) break;
    num_calls = taken > goal / 16 ? static_cast<int>(num_calls * goal / taken) + 1 : num_calls * 8;
  }
  std::vector<double> samples;
  for (int i = 0; i < kNumSamples; ++i) samples.push_back(time_calls(num_calls) / num_calls);
  std::sort(samples.begin(), samples.end());
  return samples[kNumSamples / 2];
}

template <typename Work>
double Bench::median_call_between(size_t num_bytes, Work&& work) {
  using Clock = std::chrono::steady_clock;
  const std::byte* weights = arena(num_bytes);
  const size_t num_parts = std::max<size_t>(1, arena_.size() / std::max<size_t>(num_bytes, 1));
  std::vector<double> seconds;
  const auto both = [&](int thread, int call) {
    read_share(weights + static_cast<size_t>(call) % num_parts * num_bytes, num_bytes, thread);
    pool_.barrier();
    const auto start = Clock::now();
    work(thread, call);
    if (thread == 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  };
  median_call(pool_, both);
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

}  // namespace phonelm
