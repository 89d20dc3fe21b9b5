// Choice of the next token: greedy, or by temperature from the tokens that min-p (arXiv 2407.01082), top-k,
// locally typical sampling (arXiv 2202.00666) and top-p (nucleus, arXiv 1904.09751) leave, in that order,
// drawn by a seeded generator. Penalties (sampling/penalties.h) come before all of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sampling/penalties.h"

namespace phonelm {

struct SamplerOptions {
  float temperature = 0.0f;  // 0 = greedy
  int top_k = 0;             // 0 = all
  float top_p = 1.0f;
  float min_p = 0.0f;
  float typical_p = 1.0f;
  PenaltyOptions penalties;
  uint64_t seed = 0;
};

inline constexpr int32_t kNoToken = -1;

class Sampler {
 public:
  // Throws Error for a value out of range.
  explicit Sampler(const SamplerOptions& options);
  // Returns the token drawn, from those that the mask allows: bit t % 32 of word t / 32 is token t's, and
  // tokens past its end are not allowed. Without a mask (an empty one) all are. kNoToken where none is
  // allowed. `before` are the tokens so far, for the penalties.
  int32_t sample(std::span<const float> logits, std::span<const uint32_t> mask = {},
                 std::span<const int32_t> before = {});

 private:
  struct Candidate {
    int32_t token;
    float weight;
  };
  static bool is_heavier(const Candidate& a, const Candidate& b);
  int32_t choose(std::span<const float> logits);
  size_t keep_typical(size_t count);
  size_t keep_nucleus(size_t count);
  double total_weight(size_t count) const;
  int32_t draw(size_t num_candidates);
  double next_uniform();

  SamplerOptions options_;
  Penalties penalties_;
  uint64_t state_;
  std::vector<Candidate> candidates_;
  std::vector<float> changed_;
};

}  // namespace phonelm
