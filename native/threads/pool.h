// A fixed team of threads for one model. One `run` is one parallel region (a whole forward pass); inside it
// the threads meet at barriers. Waiting spins for some microseconds, because the next token comes at once,
// and then sleeps in the kernel, so that an idle model costs nothing and more threads than cores do not
// starve each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace phonelm {

// Cores this process may run on.
int num_usable_cores();

// What a thread does before it sleeps: spin where every thread has a core, else offer its core to the others.
enum class Waiting { Spin, Yield };

// Waits until `word` differs from `old`.
void wait_while_equal(const std::atomic<uint32_t>& word, uint32_t old, Waiting waiting);

class Barrier {
 public:
  Barrier(int num_threads, Waiting waiting)
      : num_threads_(static_cast<uint32_t>(num_threads)), waiting_(waiting) {}
  void wait();

 private:
  const uint32_t num_threads_;
  const Waiting waiting_;
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
};

class ThreadPool {
 public:
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls `work(thread)` once on every thread, the caller being thread 0, and returns when all are done. Work
  // must not throw. Calls from several threads are run one after the other.
  template <typename Work>
  void run(Work&& work) {
    const std::lock_guard<std::mutex> lock(run_mutex_);
    call_ = [](void* context, int thread) {
      (*static_cast<std::remove_reference_t<Work>*>(context))(thread);
    };
    context_ = &work;
    dispatch();
  }
  void barrier() {
    if (num_threads_ > 1) barrier_.wait();
  }

 private:
  void dispatch();
  void worker(int thread);

  const int num_threads_;
  const Waiting waiting_;
  std::mutex run_mutex_;
  void (*call_)(void*, int) = nullptr;
  void* context_ = nullptr;
  Barrier barrier_;
  alignas(64) std::atomic<uint32_t> generation_{0};
  std::atomic<bool> stop_{false};
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
