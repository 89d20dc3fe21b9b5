#include "bindings/bind_session.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "bindings/bind.h"
#include "bindings/mask.h"
#include "core/error.h"
#include "graph/batch.h"
#include "graph/session_file.h"
#include "sampling/sampler.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Logits = nb::ndarray<nb::numpy, float>;
using Tokens = std::vector<int32_t>;

// A number of the session.
template <auto method>
auto value_of(GuardedSession& guarded) {
  return guarded.locked([](Session& session) { return (session.*method)(); });
}

using Evaluate = void (Session::*)(std::span<const int32_t>, float*);

template <Evaluate evaluate>
nb::object all_logits(GuardedSession& guarded, const Tokens& tokens) {
  const auto stride = static_cast<size_t>(guarded.session->logits_stride());
  auto* memory = new Buffer(std::max<size_t>(tokens.size(), 1) * stride * sizeof(float));
  const nb::capsule owner(memory, [](void* p) noexcept { delete static_cast<Buffer*>(p); });
  guarded.locked([&](Session& session) { (session.*evaluate)(tokens, memory->as<float>()); });
  const auto vocab = static_cast<size_t>(guarded.session->model().config().vocab_size);
  const size_t shape[2] = {tokens.size(), vocab};
  const int64_t strides[2] = {static_cast<int64_t>(stride), 1};
  return nb::cast(Logits(memory->data(), 2, shape, owner, strides));
}

nb::object last_logits(GuardedSession& guarded) {
  auto* copy = guarded.locked([](Session& session) {
    const auto logits = session.logits();
    if (logits.empty()) throw Error("there are no logits yet; evaluate a token first");
    return new std::vector<float>(logits.begin(), logits.end());
  });
  const nb::capsule owner(copy, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  const size_t shape[1] = {copy->size()};
  return nb::cast(Logits(copy->data(), 1, shape, owner));
}

nb::dict part_seconds(GuardedSession& guarded) {
  const auto seconds = guarded.locked([](Session& session) { return session.part_clock().seconds(); });
  nb::dict parts;
  for (size_t i = 0; i < seconds.size(); ++i) parts[kPartNames[i]] = seconds[i];
  return parts;
}

int32_t sample(GuardedSession& guarded, Sampler& sampler, const OptionalMask& mask) {
  return guarded.locked([&](Session& session) {
    if (session.logits().empty()) throw Error("there are no logits yet; evaluate a token first");
    return sampler.sample(session.logits(), words(mask), session.tokens());
  });
}

int32_t step(GuardedSession& guarded, const Tokens& tokens, Sampler& sampler, const OptionalMask& mask) {
  return guarded.locked([&](Session& session) {
    session.step(tokens, nullptr);
    return sampler.sample(session.logits(), words(mask), session.tokens());
  });
}

Tokens decode(GuardedSession& guarded, int32_t token, Sampler& sampler, int num_tokens) {
  Tokens out;
  guarded.locked([&](Session& session) {
    for (int i = 0; i < num_tokens; ++i) {
      session.prefill({&token, 1});
      token = sampler.sample(session.logits(), {}, session.tokens());
      out.push_back(token);
    }
  });
  return out;
}

// All sessions of a batch, locked in the order of their addresses, so that two batches never wait for each
// other.
class LockedBatch {
 public:
  explicit LockedBatch(const std::vector<GuardedSession*>& guarded) {
    std::vector<GuardedSession*> sorted = guarded;
    std::ranges::sort(sorted);
    if (std::ranges::adjacent_find(sorted) != sorted.end()) {
      throw Error("a session is in the batch twice; give each its own");
    }
    for (GuardedSession* session : sorted) locks_.emplace_back(session->mutex);
    for (GuardedSession* session : guarded) sessions_.push_back(session->session.get());
  }
  std::span<Session* const> sessions() const { return sessions_; }

 private:
  std::vector<std::unique_lock<std::mutex>> locks_;
  std::vector<Session*> sessions_;
};

void evaluate(const std::vector<GuardedSession*>& guarded, const std::vector<Tokens>& tokens) {
  evaluate_batch(LockedBatch(guarded).sessions(), tokens);
}

Tokens step_batch(const std::vector<GuardedSession*>& guarded, const Tokens& tokens,
                  const std::vector<Sampler*>& samplers, const std::vector<OptionalMask>& masks) {
  if (samplers.size() != guarded.size() || tokens.size() != guarded.size()) {
    throw Error("there must be a token and a sampler for each session");
  }
  if (!masks.empty() && masks.size() != guarded.size())
    throw Error("there must be a mask or None for each session, or no masks");
  const LockedBatch batch(guarded);
  std::vector<Tokens> runs;
  for (const int32_t token : tokens) runs.push_back({token});
  evaluate_batch(batch.sessions(), runs);
  Tokens out;
  for (size_t i = 0; i < samplers.size(); ++i) {
    const std::span<const uint32_t> allowed = masks.empty() ? std::span<const uint32_t>() : words(masks[i]);
    const Session& session = *batch.sessions()[i];
    out.push_back(samplers[i]->sample(session.logits(), allowed, session.tokens()));
  }
  return out;
}

GuardedSession* new_session(std::shared_ptr<Model> model, int context_length,
                            std::shared_ptr<Adapters> adapters, const std::string& kv_type,
                            std::optional<int> num_sinks) {
  const SessionOptions options{context_length, parse_kv_type(kv_type), num_sinks};
  return new GuardedSession(std::make_unique<Session>(std::move(model), options, std::move(adapters)));
}

GuardedSession* restore(std::shared_ptr<Model> model, const Path& path, int context_length,
                        std::shared_ptr<Adapters> adapters) {
  return new GuardedSession(
      restore_session(std::move(model), path.string(), context_length, std::move(adapters)));
}

GuardedSession* fork_session(GuardedSession& guarded, int num_tokens, int context_length) {
  return new GuardedSession(
      guarded.locked([&](Session& session) { return session.fork(num_tokens, context_length); }));
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_session(nb::module_& m, nb::class_<Model>& model) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  model
      .def("new_session", &new_session, "context_length"_a, "adapters"_a = nb::none(), "kv_type"_a = "f16",
           "num_sinks"_a = nb::none(), nb::rv_policy::take_ownership, release)
      .def("restore_session", &restore, "path"_a, "context_length"_a = 0, "adapters"_a = nb::none(),
           nb::rv_policy::take_ownership, release);
  // What never changes needs no lock; all else takes it, without the interpreter's.
  nb::class_<GuardedSession>(m, "Session")
      .def_prop_ro("position", &value_of<&Session::position>)
      .def_prop_ro("num_dropped", &value_of<&Session::num_dropped>)
      .def_prop_ro("room", &value_of<&Session::room>)
      .def_prop_ro("used_bytes", &value_of<&Session::used_bytes>)
      .def_prop_ro("logits_are_current", &value_of<&Session::logits_are_current>)
      .def_prop_ro("tokens",
                   [](GuardedSession& s) {
                     return s.locked([](Session& session) { return Tokens(session.tokens()); });
                   })
      .def_prop_ro("slides", [](GuardedSession& s) { return s.session->slides(); })
      .def_prop_ro("num_sinks", [](GuardedSession& s) { return s.session->options().num_sinks; })
      .def_prop_ro("context_length", [](GuardedSession& s) { return s.session->context_length(); })
      .def_prop_ro("kv_type", [](GuardedSession& s) { return kv_type_name(s.session->options().kv_type); })
      .def_prop_ro("adapters", [](GuardedSession& s) { return s.session->adapters(); })
      .def_prop_ro("kv_bytes", [](GuardedSession& s) { return s.session->kv_bytes(); })
      .def("live_fractions", &value_of<&Session::live_fractions>)
      .def("time_parts", &value_of<&Session::time_parts>)
      .def("part_seconds", &part_seconds)
      .def(
          "prefill",
          [](GuardedSession& s, const Tokens& tokens) {
            s.locked([&](Session& session) { session.prefill(tokens); });
          },
          "tokens"_a)
      .def("prefill_logits", &all_logits<&Session::prefill_logits>, "tokens"_a)
      .def("step_logits", &all_logits<&Session::step>, "tokens"_a)
      .def("logits", &last_logits)
      .def("sample", &sample, "sampler"_a, "mask"_a = nb::none())
      .def("step", &step, "tokens"_a, "sampler"_a, "mask"_a = nb::none())
      .def("decode", &decode, "token"_a, "sampler"_a, "num_tokens"_a)
      .def(
          "truncate",
          [](GuardedSession& s, int position) {
            s.locked([&](Session& session) { session.truncate(position); });
          },
          "position"_a)
      .def("fork", &fork_session, "num_tokens"_a, "context_length"_a, nb::rv_policy::take_ownership)
      .def(
          "save",
          [](GuardedSession& s, const Path& path) {
            s.locked([&](Session& session) { save_session(session, path.string()); });
          },
          "path"_a);
  m.def("evaluate_batch", &evaluate, "sessions"_a, "tokens"_a, release);
  m.def("step_batch", &step_batch, "sessions"_a, "tokens"_a, "samplers"_a,
        "masks"_a = std::vector<OptionalMask>(), release);
}
