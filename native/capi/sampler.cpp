#include "capi/objects.h"
#include "sampling/breakers.h"

namespace phonelm::capi {

namespace {

using Samplers = Handles<phonelm_sampler, SamplerObject>;

// Zero is the default of every field.
SamplerOptions sampler_options(const phonelm_sampler_options& given) {
  const auto share = [](float value) { return value == 0.0f ? 1.0f : value; };
  PenaltyOptions penalties{share(given.repeat_penalty), given.presence_penalty, given.frequency_penalty};
  if (given.repeat_last_n != 0) penalties.last_n = given.repeat_last_n;
  SamplerOptions options{given.temperature,
                         given.top_k,
                         share(given.top_p),
                         given.min_p,
                         share(given.typical_p),
                         penalties,
                         given.seed,
                         {},
                         {}};
  options.dry.multiplier = given.dry_multiplier;
  if (given.dry_base != 0.0f) options.dry.base = given.dry_base;
  if (given.dry_allowed_length != 0) options.dry.allowed_length = given.dry_allowed_length;
  if (given.dry_penalty_last_n != 0) options.dry.last_n = given.dry_penalty_last_n;
  options.xtc.probability = given.xtc_probability;
  if (given.xtc_threshold != 0.0f) options.xtc.threshold = given.xtc_threshold;
  return options;
}

}  // namespace

void SamplerObject::set_mask(std::vector<uint32_t> words) {
  const std::lock_guard<std::mutex> lock(mutex_);
  mask_ = std::move(words);
}

void SamplerObject::set_bias(LogitBias bias) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sampler_.set_bias(std::move(bias));
}

void SamplerObject::add_dry_breakers(const std::vector<std::vector<int32_t>>& breakers) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& tokens : breakers) sampler_.add_dry_breaker(tokens);
}

int32_t SamplerObject::sample(const Session& session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (session.logits().empty()) throw Error("there are no logits yet; evaluate a token first");
  const int32_t token = sampler_.sample(session.logits(), mask_, session.tokens());
  if (token == kNoToken)
    throw Error("the mask and the biases allow no token; set a bit, lift the mask or a ban");
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

phonelm_status phonelm_sampler_set_logit_bias(phonelm_sampler* sampler, const int32_t* tokens,
                                              const float* biases, size_t num_tokens, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(sampler);
    require_array(tokens, num_tokens, "tokens");
    require_array(biases, num_tokens, "biases");
    std::vector<TokenBias> pairs;
    for (size_t i = 0; i < num_tokens; ++i) pairs.push_back({tokens[i], biases[i]});
    object->set_bias(LogitBias(std::move(pairs)));
  });
}

phonelm_status phonelm_sampler_add_dry_breaker(phonelm_sampler* sampler, phonelm_model* model,
                                               const char* text, size_t num_bytes, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(sampler);
    const auto owner = find(model);
    require_array(text, num_bytes, "text");
    object->add_dry_breakers(breaker_sequences(owner->model->tokenizer(), {text, num_bytes}));
  });
}
