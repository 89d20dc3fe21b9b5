// Many runs of one team with changing numbers of threads, from two callers at once. Built with
// ThreadSanitizer by test_threads.py: everything but the pool's own words is plain memory, so that a run or
// barrier that lets a thread through too early is a reported race. Exits 1 on a wrong sum.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "threads/pool.h"

namespace {

constexpr int kNumThreads = 6;
constexpr int kRounds = 3;

// Every thread writes its place and reads all others' after each barrier.
bool run_once(phonelm::ThreadPool& pool, int num_active) {
  std::vector<int> places[2];
  for (auto& row : places) row.assign(static_cast<size_t>(num_active), 1);
  std::vector<int> wrong(static_cast<size_t>(num_active), 0);
  pool.run(num_active, [&](int thread) {
    const auto self = static_cast<size_t>(thread);
    for (int round = 1; round <= kRounds; ++round) {
      auto& row = places[round % 2];
      row[self] = round;
      pool.barrier();
      int sum = 0;
      for (const int value : row) sum += value;
      wrong[self] += sum != round * num_active;
    }
  });
  for (const int count : wrong) {
    if (count != 0) return false;
  }
  return true;
}

void call_many(phonelm::ThreadPool& pool, unsigned seed, int num_runs, bool& right) {
  std::minstd_rand random(seed);
  for (int i = 0; i < num_runs; ++i) {
    // Now and then long enough for the team to fall asleep.
    if (i % 64 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    right = right && run_once(pool, 1 + static_cast<int>(random() % kNumThreads));
  }
}

}  // namespace

int main(int, char** arguments) {
  const int num_runs = std::atoi(arguments[1]);
  phonelm::ThreadPool pool(kNumThreads);
  bool right[2] = {true, true};
  std::thread other([&] { call_many(pool, 1, num_runs, right[1]); });
  call_many(pool, 2, num_runs, right[0]);
  other.join();
  for (int i = 0; i < 20; ++i) phonelm::ThreadPool short_lived(kNumThreads);
  return right[0] && right[1] ? 0 : 1;
}
