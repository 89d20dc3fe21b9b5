// How many tokens to draft: the number with the most expected tokens per second, by the acceptance rate seen
// so far and the measured time of a pass of so many tokens.
#pragma once

#include <array>
#include <span>

#include "sampling/history.h"

namespace phonelm {

class DraftPolicy {
 public:
  // Tokens of a pass, the known ones included, that are tried: those the kernels have loops for.
  static constexpr std::array<int, 4> kPassSizes{2, 4, 8, 12};

  DraftPolicy();

  // Number of tokens to draft after `num_known` ones, at most `most`; `match_length` tokens agree so far.
  int draft_length(int match_length, int num_known, int most) const;

  // The token that followed a match of this length was, or was not, the model's too.
  void observe(int match_length, bool held);
  // What a pass over so many tokens took.
  void observe_pass(int num_tokens, double seconds);

  // The probability that a draft token after a match of this length is accepted.
  double chance(int match_length) const;
  // Expected seconds of a pass.
  double seconds(int num_tokens) const;

 private:
  struct Count {
    double held;
    double all;
  };
  std::array<Count, History::kMaxMatch + 1> counts_;
  // 0: not seen yet.
  std::array<double, History::kMaxMatch> seconds_{};
};

}  // namespace phonelm
