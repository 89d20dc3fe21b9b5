#include "threads/pool.h"

#include <cassert>
#include <string>
#include <system_error>

#include "core/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace phonelm {

namespace {

// About 2 to 5 microseconds on current cores: most waits of a team that has its cores to itself. Two threads
// that share a core, because others took the rest, lose this much at each barrier: with 4000 turns a small
// model decoded at 300 tokens/s there, with 100 at 4100.
constexpr int kSpins = 100;
// Then the thread that is waited for may be one that waits for this core: give it up. Where nobody wants it,
// this is another third of a millisecond of watching the counter, which bridges the time from one token to
// the next.
constexpr int kYields = 1000;

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Signal::advance() {
  // Sequentially consistent, as the sleeper's count is: either this thread sees the sleeper, or the sleeper
  // sees the new value.
  value_.fetch_add(1, std::memory_order_seq_cst);
  if (num_sleepers_.load(std::memory_order_seq_cst) != 0) value_.notify_all();
}

void Signal::wait_while_equal(uint32_t old, Waiting waiting) {
  const int num_spins = waiting == Waiting::Spin ? kSpins : 0;
  for (int turn = 0; turn < num_spins + kYields; ++turn) {
    if (value() != old) return;
    turn < num_spins ? relax() : std::this_thread::yield();
  }
  num_sleepers_.fetch_add(1, std::memory_order_seq_cst);
  value_.wait(old, std::memory_order_seq_cst);
  num_sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

void Barrier::wait(int num_threads, Waiting waiting) {
  const uint32_t phase = phase_.value();
  if (num_arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_threads) {
    num_arrived_.store(0, std::memory_order_relaxed);
    phase_.advance();
  } else {
    phase_.wait_while_equal(phase, waiting);
  }
}

ThreadPool::ThreadPool(int num_threads)
    : num_threads_(num_threads), calls_(static_cast<size_t>(num_threads - 1)) {
  try {
    start();
  } catch (const std::system_error&) {
    stop();
    throw Error("the system does not give " + std::to_string(num_threads) + " threads; take fewer");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::start() {
  workers_.reserve(calls_.size());
  for (int thread = 1; thread < num_threads_; ++thread)
    workers_.emplace_back([this, thread] { worker(thread); });
}

void ThreadPool::stop() {
  stop_.store(true, std::memory_order_relaxed);
  for (Signal& call : calls_) call.advance();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::dispatch(int num_active) {
  assert(num_active >= 1 && num_active <= num_threads_);
  num_active_ = num_active;
  waiting_ = num_active > num_cores_ ? Waiting::Yield : Waiting::Spin;
  for (int thread = 1; thread < num_active; ++thread) calls_[static_cast<size_t>(thread - 1)].advance();
  call_(context_, 0);
  barrier();
}

void ThreadPool::worker(int thread) {
  Signal& call = calls_[static_cast<size_t>(thread - 1)];
  const Waiting waiting = num_threads_ > num_cores_ ? Waiting::Yield : Waiting::Spin;
  for (uint32_t seen = 0;; ++seen) {
    call.wait_while_equal(seen, waiting);
    if (stop_.load(std::memory_order_relaxed)) return;
    call_(context_, thread);
    barrier();
  }
}

}  // namespace phonelm
