// Choice of the next token: greedy, or by temperature from the tokens that min-p (arXiv 2407.01082), top-k,
// locally typical sampling (arXiv 2202.00666) and top-p (nucleus, arXiv 1904.09751) leave, in that order, and
// of these those that XTC leaves (by p-e-w, llama.cpp PR 9742): drawn by a seeded generator. Biases
// (sampling/logit_bias.h), penalties (sampling/penalties.h) and DRY (sampling/dry.h), in that order, come
// before all of it.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sampling/dry.h"
#include "sampling/logit_bias.h"
#include "sampling/penalties.h"

namespace phonelm {

// Exclude top choices: with this probability, of the tokens that hold at least this share all but the least
// likely are left out.
struct XtcOptions {
  float probability = 0.0f;  // 0 = off
  float threshold = 0.1f;
};

struct SamplerOptions {
  float temperature = 0.0f;  // 0 = greedy
  int top_k = 0;             // 0 = all
  float top_p = 1.0f;
  float min_p = 0.0f;
  float typical_p = 1.0f;
  PenaltyOptions penalties;
  uint64_t seed = 0;
  DryOptions dry;
  XtcOptions xtc;
};

inline constexpr int32_t kNoToken = -1;

class Sampler {
 public:
  // Throws Error for a value out of range.
  explicit Sampler(const SamplerOptions& options);
  // Returns the token drawn, from those that the mask allows: bit t % 32 of word t / 32 is token t's, and
  // tokens past its end are not allowed. Without a mask (an empty one) all are. kNoToken where none is
  // allowed, or where all that are have been banned. `before` are the tokens so far, for the penalties.
  int32_t sample(std::span<const float> logits, std::span<const uint32_t> mask = {},
                 std::span<const int32_t> before = {});

  void set_bias(LogitBias bias) { bias_ = std::move(bias); }
  void add_dry_breaker(std::span<const int32_t> tokens) { dry_.add_breaker(tokens); }

 private:
  struct Candidate {
    int32_t token;
    float weight;
  };
  static bool is_heavier(const Candidate& a, const Candidate& b);
  int32_t choose(std::span<const float> logits);
  size_t keep_typical(size_t count);
  size_t keep_nucleus(size_t count);
  size_t num_excluded(size_t count);
  bool is_allowed(int32_t token, std::span<const uint32_t> mask) const;
  int32_t first_allowed_of(size_t num_tokens, std::span<const uint32_t> mask) const;
  double total_weight(size_t count) const;
  int32_t draw(std::span<const Candidate> from);
  double next_uniform();

  SamplerOptions options_;
  LogitBias bias_;
  Penalties penalties_;
  Dry dry_;
  uint64_t state_;
  std::vector<Candidate> candidates_;
  std::vector<float> changed_;
};

}  // namespace phonelm
