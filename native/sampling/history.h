// The tokens so far, and what followed the last time they ended as they end now.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace phonelm {

class History {
 public:
  // Where the last tokens occurred before. `length` is how many agree, at most kMaxMatch; 0: they are new.
  struct Match {
    int next;  // index of the token that followed
    int length;
  };
  // Longer agreements tell no more.
  static constexpr int kMaxMatch = 16;

  explicit History(std::span<const int32_t> tokens) : tokens_(tokens.begin(), tokens.end()) {}

  void append(int32_t token) { tokens_.push_back(token); }
  // The longest match, of those the latest. One pass over the tokens: about a nanosecond each.
  Match longest_match() const;
  // `count` tokens that followed a match. Where they reach the end they repeat themselves, as a text that
  // has begun to repeat would.
  std::vector<int32_t> followers(const Match& match, int count) const;
  int32_t operator[](int index) const { return tokens_[static_cast<size_t>(index)]; }

 private:
  std::vector<int32_t> tokens_;
};

}  // namespace phonelm
