#include "sampling/dry.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace phonelm {

Dry::Dry(const DryOptions& options) : options_(options) {
  if (!std::isfinite(options.multiplier) || options.multiplier < 0.0f)
    throw Error("dry_multiplier must be 0 (off) or another number above it");
  if (!std::isfinite(options.base) || options.base < 1.0f) throw Error("dry_base must be 1 or more");
  if (options.allowed_length < 1) throw Error("dry_allowed_length must be 1 or more");
  if (options.last_n < -1) throw Error("dry_penalty_last_n must be -1 (all tokens), 0 (none) or more");
}

void Dry::add_breaker(std::span<const int32_t> tokens) {
  if (!tokens.empty()) tails_[tokens[0]].emplace_back(tokens.begin() + 1, tokens.end());
}

bool Dry::change(std::span<const int32_t> before) const {
  return options_.multiplier > 0.0f && recent(before).size() > static_cast<size_t>(options_.allowed_length);
}

std::span<const int32_t> Dry::recent(std::span<const int32_t> before) const {
  if (options_.last_n < 0) return before;
  return before.last(std::min(before.size(), static_cast<size_t>(options_.last_n)));
}

// How many of the last tokens come after the last breaker.
int Dry::reach(std::span<const int32_t> tokens) const {
  if (tails_.empty()) return static_cast<int>(tokens.size());
  for (size_t after = 0; after < tokens.size(); ++after) {
    const auto found = tails_.find(tokens[tokens.size() - 1 - after]);
    if (found == tails_.end()) continue;
    const auto next = tokens.last(after);
    int longest = -1;
    for (const auto& tail : found->second) {
      if (tail.size() <= after && std::equal(tail.begin(), tail.end(), next.begin()))
        longest = std::max(longest, static_cast<int>(tail.size()));
    }
    if (longest >= 0) return static_cast<int>(after) - longest;
  }
  return static_cast<int>(tokens.size());
}

// How many tokens before the end agree with those before the place `i` tokens in front of it: the Z algorithm
// (Gusfield 1997, chapter 1) on the tokens backwards.
void Dry::match_ends(std::span<const int32_t> tokens) {
  const int size = static_cast<int>(tokens.size());
  const auto back = [&](int i) { return tokens[static_cast<size_t>(size - 1 - i)]; };
  matches_.assign(tokens.size(), 0);
  for (int i = 1, begin = 0, end = 0; i < size; ++i) {
    int length = i < end ? std::min(end - i, matches_[static_cast<size_t>(i - begin)]) : 0;
    while (i + length < size && back(length) == back(i + length)) ++length;
    matches_[static_cast<size_t>(i)] = length;
    if (i + length > end) begin = i, end = i + length;
  }
}

bool Dry::is_breaker(int32_t token) const {
  const auto found = tails_.find(token);
  return found != tails_.end() &&
         std::ranges::any_of(found->second, [](const auto& tail) { return tail.empty(); });
}

float Dry::penalty(int length) const {
  // Large enough to lose against any token, and still a number.
  constexpr double kMost = 1e30;
  const double grown = std::pow(static_cast<double>(options_.base), length - options_.allowed_length);
  return static_cast<float>(std::min(options_.multiplier * grown, kMost));
}

void Dry::apply(std::span<const int32_t> before, std::span<float> logits) {
  const auto tokens = recent(before);
  const int most = reach(tokens);
  if (most < options_.allowed_length) return;
  match_ends(tokens);
  longest_.clear();
  for (size_t i = 1; i < tokens.size(); ++i) {
    const int length = std::min(matches_[i], most);
    if (length < options_.allowed_length) continue;
    int& longest = longest_[tokens[tokens.size() - i]];
    longest = std::max(longest, length);
  }
  for (const auto& [token, length] : longest_) {
    const auto index = static_cast<size_t>(token);
    if (index < logits.size() && !is_breaker(token)) logits[index] -= penalty(length);
  }
}

}  // namespace phonelm
