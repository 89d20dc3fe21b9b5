// DRY, "don't repeat yourself", by p-e-w (text-generation-webui PR 5677; llama.cpp PR 9702): a token that
// would continue a repetition of n tokens loses multiplier * base^(n - allowed_length) of its logit, from n =
// allowed_length on. A repetition does not reach over a sequence breaker, such as the end of a line.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace phonelm {

struct DryOptions {
  float multiplier = 0.0f;  // 0 = off
  float base = 1.75f;
  int allowed_length = 2;
  int last_n = -1;  // how many tokens are looked at; -1 = all
};

class Dry {
 public:
  // Throws Error for a value out of range.
  explicit Dry(const DryOptions& options);

  // A breaker is the tokens of a text: its first token, and what must follow it.
  void add_breaker(std::span<const int32_t> tokens);
  // Whether the logits after these tokens may change.
  bool change(std::span<const int32_t> before) const;
  // Changes them in place, in time linear in the tokens; tokens beyond the logits are left out.
  void apply(std::span<const int32_t> before, std::span<float> logits);

 private:
  std::span<const int32_t> recent(std::span<const int32_t> before) const;
  int reach(std::span<const int32_t> tokens) const;
  void match_ends(std::span<const int32_t> tokens);
  bool is_breaker(int32_t token) const;
  float penalty(int length) const;

  DryOptions options_;
  std::unordered_map<int32_t, std::vector<std::vector<int32_t>>> tails_;  // by a breaker's first token
  std::vector<int> matches_;
  std::unordered_map<int32_t, int> longest_;
};

}  // namespace phonelm
