// The choice of tokens.
#include <nanobind/stl/vector.h>

#include "bindings/bind.h"
#include "bindings/bind_session.h"
#include "bindings/mask.h"
#include "sampling/speculation.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Tokens = std::vector<int32_t>;
using Logits = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

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
             uint64_t seed) {
            const PenaltyOptions penalties{repeat_penalty, presence_penalty, frequency_penalty,
                                           repeat_last_n};
            new (self) Sampler(SamplerOptions{temperature, top_k, top_p, min_p, typical_p, penalties, seed});
          },
          "temperature"_a = defaults.temperature, "top_k"_a = defaults.top_k, "top_p"_a = defaults.top_p,
          "min_p"_a = defaults.min_p, "typical_p"_a = defaults.typical_p,
          "repeat_penalty"_a = defaults.penalties.repeat, "presence_penalty"_a = defaults.penalties.presence,
          "frequency_penalty"_a = defaults.penalties.frequency, "repeat_last_n"_a = defaults.penalties.last_n,
          "seed"_a = defaults.seed)
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
        return values;
      });
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
