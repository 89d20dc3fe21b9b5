#include <algorithm>
#include <limits>

#include "capi/objects.h"

namespace phonelm::capi {

namespace {
using Samplers = Handles<phonelm_sampler, SamplerObject>;
}

void SamplerObject::set_mask(std::vector<uint32_t> words, bool masked) {
  const std::lock_guard<std::mutex> lock(mutex_);
  mask_ = std::move(words);
  masked_ = masked;
}

int32_t SamplerObject::sample(std::span<const float> logits) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!masked_) return sampler_.sample(logits);
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  allowed_.assign(logits.size(), kNever);
  bool any = logits.empty();
  for (size_t token = 0; token < std::min(logits.size(), mask_.size() * 32); ++token) {
    if (!(mask_[token / 32] >> (token % 32) & 1)) continue;
    allowed_[token] = logits[token];
    any = true;
  }
  if (!any) throw Error("the mask allows no token; set a bit or lift the mask");
  return sampler_.sample(allowed_);
}

}  // namespace phonelm::capi

using namespace phonelm;
using namespace phonelm::capi;

phonelm_status phonelm_sampler_new(const phonelm_sampler_options* options, phonelm_sampler** sampler,
                                   phonelm_error* error) {
  return guarded(error, [&] {
    require(sampler, "the address of the sampler");
    const phonelm_sampler_options given = read_options(options, "options");
    const float top_p = given.top_p == 0.0f ? 1.0f : given.top_p;
    const SamplerOptions chosen{given.temperature, given.top_k, top_p, given.min_p, given.seed};
    *sampler = Samplers::all().add(std::make_shared<SamplerObject>(chosen));
  });
}

phonelm_status phonelm_sampler_free(phonelm_sampler* sampler) {
  return guarded(nullptr, [&] { Samplers::all().remove(sampler, "sampler"); });
}

phonelm_status phonelm_sampler_set_mask(phonelm_sampler* sampler, const uint32_t* words, size_t num_words,
                                        phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(sampler);
    require_array(words, num_words, "words");
    object->set_mask(words ? std::vector<uint32_t>(words, words + num_words) : std::vector<uint32_t>(),
                     words != nullptr);
  });
}
