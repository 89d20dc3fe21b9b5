#include "sampling/penalties.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace phonelm {

Penalties::Penalties(const PenaltyOptions& options) : options_(options) {
  if (!std::isfinite(options.repeat) || options.repeat <= 0.0f)
    throw Error("repeat_penalty must be 1 (none) or another number above 0");
  if (!std::isfinite(options.presence) || !std::isfinite(options.frequency))
    throw Error("presence_penalty and frequency_penalty must be finite numbers");
  if (options.last_n < -1) throw Error("repeat_last_n must be -1 (all tokens), 0 (none) or more");
}

bool Penalties::change(std::span<const int32_t> before) const {
  const bool is_neutral = options_.repeat == 1.0f && options_.presence == 0.0f && options_.frequency == 0.0f;
  return !is_neutral && !recent(before).empty();
}

std::span<const int32_t> Penalties::recent(std::span<const int32_t> before) const {
  if (options_.last_n < 0) return before;
  return before.last(std::min(before.size(), static_cast<size_t>(options_.last_n)));
}

void Penalties::apply(std::span<const int32_t> before, std::span<float> logits) {
  const auto tokens = recent(before);
  sorted_.assign(tokens.begin(), tokens.end());
  std::ranges::sort(sorted_);
  for (auto first = sorted_.begin(); first != sorted_.end();) {
    const auto next = std::upper_bound(first, sorted_.end(), *first);
    if (const auto token = static_cast<size_t>(*first); token < logits.size()) {
      float& logit = logits[token];
      logit = logit > 0.0f ? logit / options_.repeat : logit * options_.repeat;
      logit -= static_cast<float>(next - first) * options_.frequency + options_.presence;
    }
    first = next;
  }
}

}  // namespace phonelm
