#include "sampling/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"

namespace phonelm {

namespace {

void require(bool holds, const char* what) {
  if (!holds) throw Error(what);
}

// The first of the largest; 0 when all are NaN. Lanes side by side let the compiler use vector instructions.
int32_t argmax(std::span<const float> logits) {
  constexpr size_t kLanes = 32;
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
  const size_t whole = logits.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) lanes[k] = logits[i + k] > lanes[k] ? logits[i + k] : lanes[k];
  }
  float largest = *std::max_element(lanes, lanes + kLanes);
  for (size_t i = whole; i < logits.size(); ++i) largest = logits[i] > largest ? logits[i] : largest;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == largest) return static_cast<int32_t>(i);
  }
  return 0;
}

bool allows(std::span<const uint32_t> mask, int32_t token) {
  const auto word = static_cast<size_t>(token) / 32;
  return word < mask.size() && ((mask[word] >> (token % 32)) & 1) != 0;
}

bool allows_any(std::span<const uint32_t> mask, size_t num_tokens) {
  const auto word = std::ranges::find_if(mask, [](uint32_t bits) { return bits != 0; });
  if (word == mask.end()) return false;
  const auto before = 32 * static_cast<size_t>(word - mask.begin());
  return before + static_cast<size_t>(std::countr_zero(*word)) < num_tokens;
}

// Minus infinity where the mask has no bit.
void apply_mask(std::span<const uint32_t> mask, std::span<float> out) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (size_t begin = 0; begin < out.size(); begin += 32) {
    const uint32_t word = begin / 32 < mask.size() ? mask[begin / 32] : 0;
    if (word == ~0u) continue;
    const size_t count = std::min<size_t>(32, out.size() - begin);
    float* values = out.data() + begin;
    for (size_t k = 0; k < count; ++k) values[k] = (word >> k) & 1 ? values[k] : kNever;
  }
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options)
    : options_(options), penalties_(options.penalties), dry_(options.dry), state_(options.seed) {
  require(std::isfinite(options.temperature) && options.temperature >= 0.0f, "temperature must be 0 or more");
  require(options.top_k >= 0, "top_k must be 0 (all tokens) or more");
  require(options.top_p > 0.0f && options.top_p <= 1.0f, "top_p must be above 0 and at most 1");
  require(options.min_p >= 0.0f && options.min_p < 1.0f, "min_p must be at least 0 and below 1");
  require(options.typical_p > 0.0f && options.typical_p <= 1.0f, "typical_p must be above 0 and at most 1");
  const auto& [probability, threshold] = options.xtc;
  require(probability >= 0.0f && probability <= 1.0f, "xtc_probability must be from 0 (off) to 1");
  require(threshold >= 0.0f && threshold <= 1.0f, "xtc_threshold must be from 0 to 1");
  require(probability == 0.0f || options.temperature > 0.0f,
          "xtc_probability leaves out the likeliest tokens, and temperature 0 takes no other; give a "
          "temperature above 0");
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const uint32_t> mask,
                        std::span<const int32_t> before) {
  if (logits.empty()) throw Error("there are no logits to sample from; evaluate a token first");
  if (!mask.empty() && !allows_any(mask, logits.size())) return kNoToken;
  const bool is_penalized = penalties_.change(before), may_repeat = dry_.change(before);
  if (mask.empty() && !is_penalized && !may_repeat && bias_.is_empty()) return choose(logits);
  changed_.assign(logits.begin(), logits.end());
  bias_.apply(changed_);
  if (is_penalized) penalties_.apply(before, changed_);
  if (may_repeat) dry_.apply(before, changed_);
  if (!mask.empty()) apply_mask(mask, changed_);
  const int32_t token = choose(changed_);
  // Where no allowed logit is a number, the choice is blind.
  return is_allowed(token, mask) ? token : first_allowed_of(logits.size(), mask);
}

bool Sampler::is_allowed(int32_t token, std::span<const uint32_t> mask) const {
  return (mask.empty() || allows(mask, token)) && !bias_.bans(token);
}

int32_t Sampler::first_allowed_of(size_t num_tokens, std::span<const uint32_t> mask) const {
  for (int32_t token = 0; static_cast<size_t>(token) < num_tokens; ++token) {
    if (is_allowed(token, mask)) return token;
  }
  return kNoToken;
}

bool Sampler::is_heavier(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

int32_t Sampler::choose(std::span<const float> logits) {
  const int32_t best = argmax(logits);
  const float largest = logits[static_cast<size_t>(best)];
  if (options_.temperature == 0.0f || !std::isfinite(largest)) return best;

  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const float weight = std::exp((logits[i] - largest) / options_.temperature);
    if (weight > 0.0f && weight >= options_.min_p) candidates_.push_back({static_cast<int32_t>(i), weight});
  }
  size_t count = candidates_.size();
  if (options_.top_k > 0) count = std::min(count, static_cast<size_t>(options_.top_k));
  if (count < candidates_.size()) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count),
                      candidates_.end(), is_heavier);
  }
  if (options_.typical_p < 1.0f) count = keep_typical(count);
  if (options_.top_p < 1.0f) count = keep_nucleus(count);
  const size_t first = options_.xtc.probability > 0.0f ? num_excluded(count) : 0;
  return draw(std::span(candidates_).subspan(first, count - first));
}

// As in llama.cpp: the shares are those among the tokens that are left.
size_t Sampler::num_excluded(size_t count) {
  if (next_uniform() >= options_.xtc.probability) return 0;
  const double least = options_.xtc.threshold * total_weight(count);
  // Not sorted: of a whole vocabulary that would take as long as a small model's token.
  const auto begin = candidates_.begin();
  const auto end = std::partition(begin, begin + static_cast<std::ptrdiff_t>(count),
                                  [least](const Candidate& candidate) { return candidate.weight >= least; });
  if (end - begin < 2) return 0;
  std::iter_swap(std::max_element(begin, end, is_heavier), end - 1);
  return static_cast<size_t>(end - begin) - 1;
}

double Sampler::total_weight(size_t count) const {
  double total = 0.0;
  for (size_t i = 0; i < count; ++i) total += candidates_[i].weight;
  return total;
}

// The tokens whose surprise -log p is nearest to its mean, the entropy, until they hold the share wanted. The
// distance of two logarithms grows with the ratio of what they are of.
size_t Sampler::keep_typical(size_t count) {
  const double total = total_weight(count);
  double entropy = 0.0;
  for (size_t i = 0; i < count; ++i) {
    const double share = candidates_[i].weight / total;
    entropy -= share * std::log(share);
  }
  const double middle = total * std::exp(-entropy);
  const auto ratio = [middle](const Candidate& candidate) {
    return std::max(candidate.weight / middle, middle / candidate.weight);
  };
  std::sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count),
            [&](const Candidate& a, const Candidate& b) {
              const double of_a = ratio(a), of_b = ratio(b);
              return of_a != of_b ? of_a < of_b : is_heavier(a, b);
            });
  double kept = 0.0;
  size_t i = 0;
  while (i < count && kept <= options_.typical_p * total) kept += candidates_[i++].weight;
  return i;
}

size_t Sampler::keep_nucleus(size_t count) {
  std::sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count), is_heavier);
  const double total = total_weight(count);
  double kept = 0.0;
  size_t i = 0;
  while (i < count && kept < options_.top_p * total) kept += candidates_[i++].weight;
  return i;
}

int32_t Sampler::draw(std::span<const Candidate> from) {
  double total = 0.0;
  for (const Candidate& candidate : from) total += candidate.weight;
  double left = next_uniform() * total;
  for (const Candidate& candidate : from) {
    left -= candidate.weight;
    if (left < 0.0) return candidate.token;
  }
  return from.back().token;
}

// SplitMix64 (Steele, Lea and Flood 2014): 53 bits to [0, 1).
double Sampler::next_uniform() {
  state_ += 0x9e3779b97f4a7c15u;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

}  // namespace phonelm
