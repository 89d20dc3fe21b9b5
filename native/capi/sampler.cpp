#include "capi/objects.h"

namespace phonelm::capi {

namespace {

using Samplers = Handles<phonelm_sampler, SamplerObject>;

// Zero is the default of every field.
SamplerOptions sampler_options(const phonelm_sampler_options& given) {
  const auto share = [](float value) { return value == 0.0f ? 1.0f : value; };
  PenaltyOptions penalties{share(given.repeat_penalty), given.presence_penalty, given.frequency_penalty};
  if (given.repeat_last_n != 0) penalties.last_n = given.repeat_last_n;
  return {given.temperature,      given.top_k, share(given.top_p), given.min_p,
          share(given.typical_p), penalties,   given.seed};
}

}  // namespace

void SamplerObject::set_mask(std::vector<uint32_t> words) {
  const std::lock_guard<std::mutex> lock(mutex_);
  mask_ = std::move(words);
}

int32_t SamplerObject::sample(const Session& session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (session.logits().empty()) throw Error("there are no logits yet; evaluate a token first");
  const int32_t token = sampler_.sample(session.logits(), mask_, session.tokens());
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
    const SamplerOptions chosen = sampler_options(read_options(options, "options"));
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
