// Choice of the next token: greedy, or by temperature from the tokens that min-p (arXiv 2407.01082), top-k
// and top-p (nucleus, arXiv 1904.09751) leave, in that order, drawn by a seeded generator.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace phonelm {

struct SamplerOptions {
  float temperature = 0.0f;  // 0 = greedy
  int top_k = 0;             // 0 = all
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint64_t seed = 0;
};

class Sampler {
 public:
  // Throws Error for a value out of range.
  explicit Sampler(const SamplerOptions& options);
  int32_t sample(std::span<const float> logits);

 private:
  struct Candidate {
    int32_t token;
    float weight;
  };
  int32_t draw(size_t num_candidates);
  double next_uniform();

  SamplerOptions options_;
  uint64_t state_;
  std::vector<Candidate> candidates_;
};

}  // namespace phonelm
