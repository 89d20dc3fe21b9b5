#include "sampling/logit_bias.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"

namespace phonelm {

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

LogitBias::LogitBias(std::vector<TokenBias> biases) : biases_(std::move(biases)) {
  for (const auto& [token, bias] : biases_) {
    if (token < 0) throw Error("logit_bias names token " + std::to_string(token) + "; take 0 or more");
    if (std::isnan(bias) || (std::isinf(bias) && bias > 0.0f))
      throw Error("logit_bias must be a finite number, or minus infinity to ban a token");
  }
  std::ranges::stable_sort(biases_, {}, &TokenBias::token);
}

void LogitBias::apply(std::span<float> logits) const {
  for (const auto& [token, bias] : biases_) {
    if (const auto index = static_cast<size_t>(token); index < logits.size()) logits[index] += bias;
  }
}

bool LogitBias::bans(int32_t token) const {
  const auto found = std::ranges::equal_range(biases_, token, {}, &TokenBias::token);
  return std::ranges::any_of(found, [](const TokenBias& one) { return one.bias == kNever; });
}

}  // namespace phonelm
