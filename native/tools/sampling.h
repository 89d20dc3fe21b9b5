// The options that say how tokens are drawn.
#pragma once

#include "tools/library.h"

namespace phonelm::cli {

struct Sampling {
  // Throws UsageError for what is no number.
  explicit Sampling(const Arguments& arguments);
  Sampler new_sampler(phonelm_model* model) const;

  phonelm_sampler_options options{};
  std::vector<int32_t> tokens;  // whose logits have a bias
  std::vector<float> biases;
  std::vector<std::string> breakers;
};

// `others` and the options that `Sampling` reads.
std::vector<Option> sampling_options(std::vector<Option> others);

}  // namespace phonelm::cli
