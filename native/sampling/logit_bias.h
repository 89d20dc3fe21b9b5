// What a program adds to the logits of single tokens; minus infinity bans one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace phonelm {

struct TokenBias {
  int32_t token;
  float bias;
};

class LogitBias {
 public:
  LogitBias() = default;
  // Those of a token that is named more than once add up. Throws Error for a token below 0, NaN and plus
  // infinity.
  explicit LogitBias(std::vector<TokenBias> biases);

  bool is_empty() const { return biases_.empty(); }
  // Changes them in place; tokens beyond the logits are left out.
  void apply(std::span<float> logits) const;
  bool bans(int32_t token) const;

 private:
  std::vector<TokenBias> biases_;  // sorted by token
};

}  // namespace phonelm
