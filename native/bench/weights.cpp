#include "bench/weights.h"

#include <algorithm>
#include <chrono>

namespace phonelm {

namespace {

constexpr int kNumPasses = 7;

uint64_t sum_of(std::span<const uint64_t> words) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 8 <= words.size(); i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  }
  return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

}  // namespace

double weight_bandwidth(const Model& model) {
  using Clock = std::chrono::steady_clock;
  const auto num_threads = static_cast<size_t>(model.decode_threads());
  const std::span<const std::byte> weights = model.weights();
  const size_t per_thread = weights.size() / num_threads / 64 * 8;
  std::vector<uint64_t> sums(num_threads * 8);
  double best = 0.0;
  for (int pass = 0; pass < kNumPasses; ++pass) {
    const auto start = Clock::now();
    model.threads().run(model.decode_threads(), [&](int thread) {
      const auto index = static_cast<size_t>(thread);
      const auto* words = reinterpret_cast<const uint64_t*>(weights.data()) + index * per_thread;
      // Kept, so that the reads are not left out.
      sums[8 * index] += sum_of({words, per_thread});
    });
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, static_cast<double>(per_thread * 8 * num_threads) / seconds.count());
  }
  return best;
}

}  // namespace phonelm
