// Penalties of tokens that were there, as llama.cpp defines them: of a token that occurs `count` times among
// the last tokens, a logit above 0 is divided by the repeat penalty and another multiplied with it (CTRL,
// arXiv 1909.05858), then count * frequency + presence is subtracted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace phonelm {

struct PenaltyOptions {
  float repeat = 1.0f;
  float presence = 0.0f;
  float frequency = 0.0f;
  int last_n = 64;  // how many tokens are looked at; -1 = all
};

class Penalties {
 public:
  // Throws Error for a value out of range.
  explicit Penalties(const PenaltyOptions& options);

  // Whether the logits after these tokens change.
  bool change(std::span<const int32_t> before) const;
  // Changes them in place; tokens beyond the logits are left out.
  void apply(std::span<const int32_t> before, std::span<float> logits);

 private:
  std::span<const int32_t> recent(std::span<const int32_t> before) const;

  PenaltyOptions options_;
  std::vector<int32_t> sorted_;
};

}  // namespace phonelm
