#include "threads/pool.h"

#include <sched.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace phonelm {

namespace {

// About 20 to 50 microseconds on current cores: longer than any wait inside a token, shorter than a time
// slice.
constexpr int kSpins = 4000;
// With more threads than cores, the one that is waited for may itself wait for this core: give it up, and
// sleep only when that does not help for a while.
constexpr int kYields = 200;

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

int num_usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

void wait_while_equal(const std::atomic<uint32_t>& word, uint32_t old, Waiting waiting) {
  const bool crowded = waiting == Waiting::Yield;
  for (int turn = 0; turn < (crowded ? kYields : kSpins); ++turn) {
    if (word.load(std::memory_order_acquire) != old) return;
    crowded ? std::this_thread::yield() : relax();
  }
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

void Barrier::wait() {
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_threads_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
  } else {
    wait_while_equal(phase_, phase, waiting_);
  }
}

ThreadPool::ThreadPool(int num_threads)
    : num_threads_(num_threads),
      waiting_(num_threads > num_usable_cores() ? Waiting::Yield : Waiting::Spin),
      barrier_(num_threads, waiting_) {
  for (int thread = 1; thread < num_threads; ++thread)
    workers_.emplace_back([this, thread] { worker(thread); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& thread : workers_) thread.join();
}

void ThreadPool::dispatch() {
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  call_(context_, 0);
  barrier();
}

void ThreadPool::worker(int thread) {
  uint32_t seen = 0;
  while (true) {
    wait_while_equal(generation_, seen, waiting_);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    call_(context_, thread);
    barrier();
  }
}

}  // namespace phonelm
