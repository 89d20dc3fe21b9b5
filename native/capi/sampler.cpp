#include "capi/objects.h"

namespace phonelm::capi {

namespace {
using Samplers = Handles<phonelm_sampler, SamplerObject>;
}

void SamplerObject::set_mask(std::vector<uint32_t> words) {
  const std::lock_guard<std::mutex> lock(mutex_);
  mask_ = std::move(words);
}

int32_t SamplerObject::sample(std::span<const float> logits) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (logits.empty()) throw Error("there are no logits yet; evaluate a token first");
  const int32_t token = sampler_.sample(logits, mask_);
  if (token == kNoToken) throw Error("the mask allows no token; set a bit or lift the mask");
  return token;
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
    std::vector<uint32_t> mask;
    if (words) mask.assign(words, words + num_words);
    // Words of which there are none allow nothing; no words at all, everything.
    if (words && num_words == 0) mask.push_back(0);
    object->set_mask(std::move(mask));
  });
}
