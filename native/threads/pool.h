// A fixed team of threads for one model. One `run` is one parallel region (a whole forward pass) of all or
// some of the team; inside it the threads that take part meet at barriers. Waiting spins for some
// microseconds, then offers the core to others for a while, because the next token comes at once, and then
// sleeps in the kernel, so that an idle model costs nothing and threads beyond the number of cores do not
// starve each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "threads/cores.h"

namespace phonelm {

// What a thread does first: spin where every thread can have a core, else yield its core to the others at
// once.
enum class Waiting { Spin, Yield };

// A counter that threads wait for. It keeps count of its own sleepers: the standard library's count is shared
// by all words of a process, so that one sleeper anywhere would make every `advance` a system call.
class alignas(64) Signal {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  void advance();
  // Returns once the counter differs from `old`.
  void wait_while_equal(uint32_t old, Waiting waiting);

 private:
  std::atomic<uint32_t> value_{0};
  std::atomic<uint32_t> num_sleepers_{0};
};

class Barrier {
 public:
  // Returns once `num_threads` threads, each giving the same number, have called it.
  void wait(int num_threads, Waiting waiting);

 private:
  alignas(64) std::atomic<int> num_arrived_{0};
  Signal phase_;
};

// First come, first served: a caller that comes back at once, token after token, does not keep the others
// out.
class FairMutex {
 public:
  void lock() {
    const uint32_t ticket = next_.fetch_add(1, std::memory_order_relaxed);
    for (uint32_t now = serving_.value(); now != ticket; now = serving_.value()) {
      serving_.wait_while_equal(now, Waiting::Yield);
    }
  }
  void unlock() { serving_.advance(); }

 private:
  std::atomic<uint32_t> next_{0};
  Signal serving_;
};

class ThreadPool {
 public:
  // Throws Error when the system does not give so many threads.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls `work(thread)` once on each of the threads 0 to num_active - 1, the caller being thread 0, and
  // returns when all are done; the rest of the team sleeps on. Work must not throw. Calls from several
  // threads are run one after the other, in the order they came.
  template <typename Work>
  void run(int num_active, Work&& work) {
    const std::lock_guard<FairMutex> lock(run_mutex_);
    call_ = [](void* context, int thread) {
      (*static_cast<std::remove_reference_t<Work>*>(context))(thread);
    };
    context_ = &work;
    dispatch(num_active);
  }
  // On the whole team.
  template <typename Work>
  void run(Work&& work) {
    run(num_threads_, work);
  }
  // Only inside a run: returns once all its threads are here.
  void barrier() {
    if (num_active_ > 1) barrier_.wait(num_active_, waiting_);
  }

 private:
  void dispatch(int num_active);
  void worker(int thread);
  void start();
  void stop();

  const int num_threads_;
  const int num_cores_ = num_usable_cores();
  FairMutex run_mutex_;
  // Of the run at hand. Written by the caller before it calls the threads, read by those it calls alone.
  void (*call_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int num_active_ = 0;
  Waiting waiting_ = Waiting::Spin;
  Barrier barrier_;
  std::atomic<bool> stop_{false};
  // One for each thread but the first: a thread that takes no part is not even looked at.
  std::vector<Signal> calls_;
  std::vector<std::thread> workers_;
};

// The share [begin, end) of `total` items that belongs to a thread; shares are multiples of `granule`.
struct Range {
  int begin;
  int end;
};
inline Range share_of(int total, int thread, int num_threads, int granule = 1) {
  const int64_t units = (total + granule - 1) / granule;
  const auto begin = static_cast<int>(units * thread / num_threads) * granule;
  const auto end = static_cast<int>(units * (thread + 1) / num_threads) * granule;
  return {begin < total ? begin : total, end < total ? end : total};
}

}  // namespace phonelm
