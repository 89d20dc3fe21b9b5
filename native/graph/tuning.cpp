#include "graph/tuning.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "graph/scratch.h"

namespace phonelm {

namespace {

using Clock = std::chrono::steady_clock;

// Of one pass. In this time a team streams more than its caches hold, if the model is larger than they.
constexpr double kPassSeconds = 1e-3;
// Passes of each number of threads that may be the best. Their median counts: one interruption is chance, a
// machine that interrupts most of them will continue doing so.
constexpr int kPasses = 7;
// Of one choice, on a busy machine.
constexpr double kMaxSeconds = 0.05;
// Fewer threads are tried as long as they are not slower than the best by more than this.
constexpr double kHopeless = 1.25;
// No difference: noise, and the fewer threads the better for everything else on the machine.
constexpr double kTie = 1.03;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Some products of a model, one after the other, a barrier after each, as in a pass.
class Products {
 public:
  Products(const std::vector<const PackedMatrix*>& matrices, const Kernels& kernels, int num_tokens,
           ThreadPool& pool)
      : matrices_(matrices), kernels_(kernels), pool_(pool), out_(num_tokens, most_rows(matrices)) {
    for (const PackedMatrix* matrix : matrices) {
      const auto [place, is_new] = inputs_.try_emplace(matrix->cols, num_tokens, matrix->cols);
      if (is_new) views_.emplace(matrix->cols, filled(place->second, num_tokens, matrix->cols));
    }
    choose_pieces();
  }

  bool out_of_time() const { return seconds_since(begin_) > kMaxSeconds; }

  // Seconds of the products with so many threads, awake.
  double time(int num_threads) {
    pool_.run(num_threads, [](int) {});
    const auto start = Clock::now();
    pool_.run(num_threads, [&](int thread) {
      for (const Piece& piece : pieces_) {
        const Range share = share_of(piece.num_panels, thread, num_threads);
        kernels_.matmul(*piece.matrix, share.begin, share.end, *piece.input, out_.row(0), out_.stride, false);
        pool_.barrier();
      }
    });
    return seconds_since(start);
  }

 private:
  // The first panels of a matrix.
  struct Piece {
    const PackedMatrix* matrix;
    const Activations* input;
    int num_panels;
  };

  static int most_rows(const std::vector<const PackedMatrix*>& matrices) {
    int rows = 0;
    for (const PackedMatrix* matrix : matrices) rows = std::max(rows, matrix->rows);
    return rows;
  }

  // Cheap noise: what the numbers are does not matter to the time, but that they are normal does.
  Activations filled(const InputBuffer& memory, int num_tokens, int cols) const {
    const Activations input = memory.view(num_tokens, cols);
    uint32_t state = 1;
    for (int token = 0; token < num_tokens; ++token) {
      for (int i = 0; i < cols; ++i) {
        state = state * 1664525u + 1013904223u;
        memory.values(token)[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
      }
      kernels_.quantize(memory.values(token), token, input);
    }
    return input;
  }

  // More and more of the model, again from its beginning where it is small, until the whole team needs long
  // enough.
  void choose_pieces() {
    for (size_t num_bytes = 1; !out_of_time();) {
      take(num_bytes);
      const double taken = std::min(time(pool_.num_threads()), time(pool_.num_threads()));
      if (taken >= kPassSeconds / 2) return;
      num_bytes = taken_bytes_ * (taken > kPassSeconds / 8 ? 2 : 4);
    }
  }

  // At least `num_bytes`, and a panel for each thread.
  void take(size_t num_bytes) {
    pieces_.clear();
    taken_bytes_ = 0;
    for (size_t i = 0; taken_bytes_ < num_bytes; i = (i + 1) % matrices_.size()) {
      const PackedMatrix& matrix = *matrices_[i];
      const size_t needed = (num_bytes - taken_bytes_ + matrix.panel_bytes - 1) / matrix.panel_bytes;
      const auto at_least = std::max(needed, static_cast<size_t>(pool_.num_threads()));
      const auto num_panels = std::min(at_least, static_cast<size_t>(matrix.num_panels));
      pieces_.push_back({&matrix, &views_.at(matrix.cols), static_cast<int>(num_panels)});
      taken_bytes_ += num_panels * matrix.panel_bytes;
    }
  }

  const std::vector<const PackedMatrix*>& matrices_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  const Clock::time_point begin_ = Clock::now();
  const Rows out_;
  std::map<int, InputBuffer> inputs_;
  std::map<int, Activations> views_;
  std::vector<Piece> pieces_;
  size_t taken_bytes_ = 0;
};

struct Candidate {
  int num_threads;
  std::vector<double> seconds;

  double best() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

// From the most threads down: the time falls and then rises, so that what follows a hopeless number is worse.
std::vector<Candidate> promising(Products& products, const std::vector<int>& counts) {
  std::vector<Candidate> candidates;
  double best = 0.0;
  for (auto count = counts.rbegin(); count != counts.rend(); ++count) {
    Candidate candidate{*count, {products.time(*count), products.time(*count)}};
    if (!candidates.empty() && candidate.best() > kHopeless * best) break;
    best = candidates.empty() ? candidate.best() : std::min(best, candidate.best());
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

int fewest_of_the_fastest(Products& products, const std::vector<int>& counts) {
  std::vector<Candidate> candidates = promising(products, counts);
  if (candidates.size() == 1) return candidates.front().num_threads;
  for (int pass = 2; pass < kPasses && !products.out_of_time(); ++pass) {
    for (Candidate& candidate : candidates) candidate.seconds.push_back(products.time(candidate.num_threads));
  }
  double best = candidates.front().median();
  for (const Candidate& candidate : candidates) best = std::min(best, candidate.median());
  return std::find_if(candidates.rbegin(), candidates.rend(),
                      [&](const Candidate& candidate) { return candidate.median() <= kTie * best; })
      ->num_threads;
}

}  // namespace

std::vector<int> thread_candidates(int num_physical, int num_cores) {
  std::vector<int> counts{num_cores};
  if (num_physical < num_cores) counts.push_back(num_physical);
  for (int count = 1; count < num_cores; count *= 2) counts.push_back(count);
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

ThreadChoice measure_threads(const std::vector<const PackedMatrix*>& matrices, const Kernels& kernels,
                             int num_tokens, ThreadPool& pool) {
  const std::vector<int> counts = thread_candidates(num_physical_cores(), pool.num_threads());
  if (counts.size() == 1 || matrices.empty()) return {counts.back(), counts.back()};
  const auto choose = [&](int tokens) {
    Products products(matrices, kernels, tokens, pool);
    return fewest_of_the_fastest(products, counts);
  };
  return {choose(1), choose(num_tokens)};
}

}  // namespace phonelm
