#include "tools/sampling.h"

#include <charconv>
#include <cstdlib>
#include <random>

namespace phonelm::cli {

namespace {

// "15043+1.5", "15043-inf": as in llama.cpp.
void read_bias(const std::string& text, Sampling& sampling) {
  int32_t token = 0;
  const char* last = text.data() + text.size();
  const auto [sign, problem] = std::from_chars(text.data(), last, token);
  char* end = nullptr;
  const float bias = std::strtof(sign, &end);
  const bool is_signed = sign != last && (*sign == '+' || *sign == '-');
  if (problem != std::errc() || token < 0 || !is_signed || sign + 1 == last || *end != '\0') {
    throw UsageError("--logit-bias is '" + text +
                     "'; give a token's id and a number with its sign, such as 15043-1.5 or 15043-inf");
  }
  sampling.tokens.push_back(token);
  sampling.biases.push_back(bias);
}

}  // namespace

Sampling::Sampling(const Arguments& arguments) {
  const auto whole = [&](const char* name, int64_t otherwise, int64_t low) {
    return static_cast<int32_t>(arguments.integer(name, otherwise, low, INT32_MAX));
  };
  std::random_device random;
  options.size = sizeof(options);
  options.seed = arguments.seed("seed", random());
  options.temperature = arguments.number("temperature", 0.7f);
  options.top_p = arguments.number("top-p", 0.95f);
  options.min_p = arguments.number("min-p", 0.0f);
  options.top_k = whole("top-k", 0, 0);
  options.typical_p = arguments.number("typical-p", 1.0f);
  options.repeat_penalty = arguments.number("repeat-penalty", 1.0f);
  options.presence_penalty = arguments.number("presence-penalty", 0.0f);
  options.frequency_penalty = arguments.number("frequency-penalty", 0.0f);
  options.repeat_last_n = whole("repeat-last-n", 64, -1);
  options.dry_multiplier = arguments.number("dry-multiplier", 0.0f);
  options.dry_base = arguments.number("dry-base", 1.75f);
  options.dry_allowed_length = whole("dry-allowed-length", 2, 1);
  options.dry_penalty_last_n = whole("dry-penalty-last-n", -1, -1);
  options.xtc_probability = arguments.number("xtc-probability", 0.0f);
  options.xtc_threshold = arguments.number("xtc-threshold", 0.1f);
  // In the library's options 0 is the default.
  if (options.repeat_last_n == 0)
    options.repeat_penalty = options.presence_penalty = options.frequency_penalty = 0.0f;
  if (options.dry_penalty_last_n == 0) options.dry_multiplier = 0.0f;
  for (const std::string& text : arguments.all("logit-bias")) read_bias(text, *this);
  breakers = arguments.all("dry-sequence-breaker");
  if (breakers.empty()) breakers = {"\n", ":", "\"", "*"};
  if (breakers == std::vector<std::string>{"none"}) breakers.clear();
}

Sampler Sampling::new_sampler(phonelm_model* model) const {
  Sampler sampler = cli::new_sampler(options);
  check([&](phonelm_error* error) {
    return phonelm_sampler_set_logit_bias(sampler.get(), tokens.data(), biases.data(), tokens.size(), error);
  });
  if (options.dry_multiplier == 0.0f) return sampler;
  for (const std::string& text : breakers) {
    check([&](phonelm_error* error) {
      return phonelm_sampler_add_dry_breaker(sampler.get(), model, text.data(), text.size(), error);
    });
  }
  return sampler;
}

std::vector<Option> sampling_options(std::vector<Option> others) {
  const std::vector<Option> own = {
      {"temperature", 0, "X", "0 takes the likeliest token each time (0.7)."},
      {"top-k", 0, "N", "Draw from the k likeliest tokens; 0: from all (0)."},
      {"top-p", 0, "X", "Draw from the likeliest tokens that hold this share (0.95)."},
      {"min-p", 0, "X", "Drop tokens less likely than this share of the best (0)."},
      {"typical-p", 0, "X", "Draw from tokens of typical surprise, up to this share (1)."},
      {"repeat-penalty", 0, "X", "Above 1, tokens that were there are less likely (1)."},
      {"presence-penalty", 0, "X", "Subtracted from the logits of such tokens (0)."},
      {"frequency-penalty", 0, "X", "The same for each time they were there (0)."},
      {"repeat-last-n", 0, "N", "How far back penalties look; -1: to the beginning (64)."},
      {"logit-bias", 0, "ID(+|-)X", "Added to a token's logit; ID-inf bans it; may be repeated."},
      {"dry-multiplier", 0, "X", "DRY: above 0, tokens that repeat what was are less likely (0)."},
      {"dry-base", 0, "X", "How much less for each further token that is repeated (1.75)."},
      {"dry-allowed-length", 0, "N", "Tokens that may be repeated before that begins (2)."},
      {"dry-penalty-last-n", 0, "N", "How far back DRY looks; -1: to the beginning (-1)."},
      {"dry-sequence-breaker", 0, "TEXT", "Ends a repetition; may be repeated; none: without."},
      {"xtc-probability", 0, "X", "How often the likeliest tokens leave, but the last of them (0)."},
      {"xtc-threshold", 0, "X", "The share from which a token is one of the likeliest (0.1)."},
      {"seed", 0, "N", "Makes the draw repeatable."}};
  others.insert(others.end(), own.begin(), own.end());
  return others;
}

}  // namespace phonelm::cli
