#include "graph/divergence.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "graph/config.h"

namespace phonelm {

namespace {

// Terms are added as floats in this many lanes, a few rounds long, and the lanes as doubles.
constexpr int kLanes = 16;
constexpr int kRounds = 4;
constexpr int kBlock = kLanes * kRounds;

// The sum of term(i) over a row.
template <typename Term>
double sum_of(int size, Term&& term) {
  double total = 0.0;
  int i = 0;
  for (; i + kBlock <= size; i += kBlock) {
    std::array<float, kLanes> lanes{};
    for (int round = 0; round < kBlock; round += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) lanes[static_cast<size_t>(lane)] += term(i + round + lane);
    }
    for (const float lane : lanes) total += static_cast<double>(lane);
  }
  for (; i < size; ++i) total += static_cast<double>(term(i));
  return total;
}

// A row's softmax: probabilities are `weights` over `sum`.
struct Softmax {
  Softmax(const Kernels& kernels, const float* logits, int size, std::vector<float>& weights)
      : maximum(kernels.maximum(logits, size)) {
    std::copy_n(logits, size, weights.data());
    kernels.exponentiate(weights.data(), size, maximum);
    sum = sum_of(size, [&](int i) { return weights[static_cast<size_t>(i)]; });
  }
  double log_sum() const { return static_cast<double>(maximum) + std::log(sum); }

  float maximum;
  double sum;
};

RowDifference compare_row(const Kernels& kernels, const float* reference, const float* other, int size,
                          int32_t target, std::vector<float>& weights) {
  const double log_sum = Softmax(kernels, other, size, weights).log_sum();
  const Softmax expected(kernels, reference, size, weights);
  const double difference =
      sum_of(size, [&](int i) { return weights[static_cast<size_t>(i)] * (reference[i] - other[i]); });
  const float* top = std::find(reference, reference + size, expected.maximum);
  const double divergence = difference / expected.sum - expected.log_sum() + log_sum;
  return {
      // Of equal rows the roundings can leave a little less than nothing.
      std::isfinite(divergence) ? std::max(divergence, 0.0) : divergence,
      top < reference + size && other[top - reference] >= kernels.maximum(other, size),
      expected.log_sum() - static_cast<double>(reference[target]),
      log_sum - static_cast<double>(other[target]),
  };
}

}  // namespace

std::vector<RowDifference> compare_rows(const Model& model, LogitRows reference, LogitRows other,
                                        std::span<const int32_t> targets) {
  check_tokens(model.config(), targets);
  const int size = model.config().vocab_size;
  const int num_rows = static_cast<int>(targets.size());
  const int num_threads = std::min(model.prefill_threads(), std::max(num_rows, 1));
  std::vector<RowDifference> differences(targets.size());
  std::vector<std::vector<float>> weights(static_cast<size_t>(num_threads),
                                          std::vector<float>(static_cast<size_t>(size)));
  model.threads().run(num_threads, [&](int thread) {
    const Range share = share_of(num_rows, thread, num_threads);
    for (auto i = static_cast<size_t>(share.begin); i < static_cast<size_t>(share.end); ++i) {
      differences[i] = compare_row(model.kernels(), reference.row(i), other.row(i), size, targets[i],
                                   weights[static_cast<size_t>(thread)]);
    }
  });
  for (const RowDifference& row : differences) {
    if (!std::isfinite(row.divergence + row.reference_nats + row.nats)) {
      throw Error("logits hold numbers that are not finite; the model or its file is broken");
    }
  }
  return differences;
}

}  // namespace phonelm
