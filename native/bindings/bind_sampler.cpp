// The choice of tokens.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "bindings/bind.h"
#include "bindings/bind_session.h"
#include "bindings/mask.h"
#include "sampling/breakers.h"
#include "sampling/speculation.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Tokens = std::vector<int32_t>;
using Logits = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

LogitBias bias_of(const std::vector<std::pair<int32_t, float>>& pairs) {
  std::vector<TokenBias> biases;
  for (const auto& [token, bias] : pairs) biases.push_back({token, bias});
  return LogitBias(std::move(biases));
}

std::vector<Tokens> breakers_of(const Tokenizer& tokenizer, const nb::bytes& text) {
  return breaker_sequences(tokenizer, {text.c_str(), text.size()});
}

Tokens advance(Speculation& speculation, GuardedSession& guarded, Sampler& sampler, const Tokens& known,
               const Tokens& draft, const std::vector<Mask>& masks) {
  std::vector<std::span<const uint32_t>> rows;
  for (const Mask& mask : masks) rows.push_back(words(mask));
  return guarded.locked(
      [&](Session& session) { return speculation.advance(session, sampler, known, draft, rows); });
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_sampler(nb::module_& m) {
  const SamplerOptions defaults;
  nb::class_<Sampler>(m, "Sampler")
      .def(
          "__init__",
          [](Sampler* self, float temperature, int top_k, float top_p, float min_p, float typical_p,
             float repeat_penalty, float presence_penalty, float frequency_penalty, int repeat_last_n,
             uint64_t seed, float dry_multiplier, float dry_base, int dry_allowed_length,
             int dry_penalty_last_n, float xtc_probability, float xtc_threshold,
             const std::vector<std::pair<int32_t, float>>& logit_bias,
             const std::vector<Tokens>& dry_breakers) {
            const PenaltyOptions penalties{repeat_penalty, presence_penalty, frequency_penalty,
                                           repeat_last_n};
            const DryOptions dry{dry_multiplier, dry_base, dry_allowed_length, dry_penalty_last_n};
            const XtcOptions xtc{xtc_probability, xtc_threshold};
            auto bias = bias_of(logit_bias);
            new (self) Sampler(
                SamplerOptions{temperature, top_k, top_p, min_p, typical_p, penalties, seed, dry, xtc});
            self->set_bias(std::move(bias));
            for (const Tokens& tokens : dry_breakers) self->add_dry_breaker(tokens);
          },
          "temperature"_a = defaults.temperature, "top_k"_a = defaults.top_k, "top_p"_a = defaults.top_p,
          "min_p"_a = defaults.min_p, "typical_p"_a = defaults.typical_p,
          "repeat_penalty"_a = defaults.penalties.repeat, "presence_penalty"_a = defaults.penalties.presence,
          "frequency_penalty"_a = defaults.penalties.frequency, "repeat_last_n"_a = defaults.penalties.last_n,
          "seed"_a = defaults.seed, "dry_multiplier"_a = defaults.dry.multiplier,
          "dry_base"_a = defaults.dry.base, "dry_allowed_length"_a = defaults.dry.allowed_length,
          "dry_penalty_last_n"_a = defaults.dry.last_n, "xtc_probability"_a = defaults.xtc.probability,
          "xtc_threshold"_a = defaults.xtc.threshold,
          "logit_bias"_a = std::vector<std::pair<int32_t, float>>(), "dry_breakers"_a = std::vector<Tokens>())
      .def(
          "choose",
          [](Sampler& sampler, const Logits& logits, const OptionalMask& mask, const Tokens& before) {
            return sampler.sample({logits.data(), logits.size()}, words(mask), before);
          },
          "logits"_a, "mask"_a = nb::none(), "before"_a = Tokens())
      .def_prop_ro_static("defaults", [defaults](nb::handle) {
        nb::dict values;
        values["temperature"] = defaults.temperature;
        values["top_k"] = defaults.top_k;
        values["top_p"] = defaults.top_p;
        values["min_p"] = defaults.min_p;
        values["typical_p"] = defaults.typical_p;
        values["repeat_penalty"] = defaults.penalties.repeat;
        values["presence_penalty"] = defaults.penalties.presence;
        values["frequency_penalty"] = defaults.penalties.frequency;
        values["repeat_last_n"] = defaults.penalties.last_n;
        values["dry_multiplier"] = defaults.dry.multiplier;
        values["dry_base"] = defaults.dry.base;
        values["dry_allowed_length"] = defaults.dry.allowed_length;
        values["dry_penalty_last_n"] = defaults.dry.last_n;
        values["xtc_probability"] = defaults.xtc.probability;
        // As it is written: a float32 is another number.
        values["xtc_threshold"] = std::stod(std::to_string(defaults.xtc.threshold));
        return values;
      });
  m.def("dry_breakers", &breakers_of, "tokenizer"_a, "text"_a,
        "Every way in which the bytes of a text may stand in tokens: for Sampler's dry_breakers.");
  nb::class_<Speculation>(m, "Speculation")
      .def(
          "__init__", [](Speculation* self, const Tokens& prompt) { new (self) Speculation(prompt); },
          "prompt"_a)
      .def(
          "propose",
          [](Speculation& self, const Tokens& known, int most) { return self.propose(known, most); },
          "known"_a, "most"_a)
      .def("advance", &advance, "session"_a, "sampler"_a, "known"_a, "draft"_a, "masks"_a)
      .def_prop_ro("num_drafted", &Speculation::num_drafted)
      .def_prop_ro("num_accepted", &Speculation::num_accepted);
}
