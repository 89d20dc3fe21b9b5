#include "sampling/draft_policy.h"

#include <algorithm>

namespace phonelm {

namespace {

// Weight of what is believed before anything is seen, and the share of what was seen that the next sight
// keeps.
constexpr double kPriorWeight = 2.0;
constexpr double kKeep = 0.95;
// What one draft token says of other lengths: an accepted one, of longer matches; a rejected one, of shorter
// ones.
constexpr double kSpread = 0.3;
// A pass of n tokens before any is seen: 1 + kCostGuess (n - 1) times the pass of one.
constexpr double kCostGuess = 0.2;
constexpr double kNewShare = 0.25;
// One pass that the system interrupted must not end the use of its size.
constexpr double kMaxSurprise = 2.0;
// The expected gain must exceed the error of the measured times.
constexpr double kMargin = 1.05;

// The longer a repeated passage has lasted, the likelier it continues.
double prior_chance(int match_length) { return match_length / (match_length + 4.0); }

}  // namespace

DraftPolicy::DraftPolicy() {
  for (int length = 0; length <= History::kMaxMatch; ++length) {
    counts_[static_cast<size_t>(length)] = {kPriorWeight * prior_chance(length), kPriorWeight};
  }
}

double DraftPolicy::chance(int match_length) const {
  const Count& count = counts_[static_cast<size_t>(std::min(match_length, History::kMaxMatch))];
  return count.held / count.all;
}

double DraftPolicy::seconds(int num_tokens) const {
  for (int seen = num_tokens; seen >= 1; --seen) {
    const double taken = seconds_[static_cast<size_t>(seen)];
    const auto guess = [](int count) { return 1.0 + kCostGuess * (count - 1); };
    if (taken > 0.0) return taken * guess(num_tokens) / guess(seen);
  }
  return 1.0 + kCostGuess * (num_tokens - 1);
}

int DraftPolicy::draft_length(int match_length, int num_known, int most) const {
  if (match_length == 0) return 0;
  int best = 0;
  double best_rate = kMargin / seconds(num_known);
  double expected = 1.0;
  double all_held = 1.0;
  int length = 0;
  for (const int size : kPassSizes) {
    if (size <= num_known || size - num_known > most) continue;
    for (; length < size - num_known; ++length) {
      all_held *= chance(match_length + length);
      expected += all_held;
    }
    const double rate = expected / seconds(size);
    if (rate > best_rate) {
      best = length;
      best_rate = rate;
    }
  }
  return best;
}

void DraftPolicy::observe(int match_length, bool held) {
  const int seen = std::min(match_length, History::kMaxMatch);
  for (int length = 1; length <= History::kMaxMatch; ++length) {
    const double weight = length == seen ? 1.0 : (held == (length > seen) ? kSpread : 0.0);
    const double keep = 1.0 - (1.0 - kKeep) * weight;
    Count& count = counts_[static_cast<size_t>(length)];
    count = {keep * count.held + (held ? weight : 0.0), keep * count.all + weight};
  }
}

void DraftPolicy::observe_pass(int num_tokens, double taken) {
  if (num_tokens >= static_cast<int>(seconds_.size())) return;
  double& known = seconds_[static_cast<size_t>(num_tokens)];
  const bool any_seen = std::any_of(seconds_.begin(), seconds_.end(), [](double s) { return s > 0.0; });
  if (any_seen) taken = std::min(taken, kMaxSurprise * seconds(num_tokens));
  known = known > 0.0 ? known + kNewShare * (taken - known) : taken;
}

}  // namespace phonelm
