#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <mutex>

#include "bench/weights.h"
#include "bindings/bind.h"
#include "core/error.h"
#include "graph/footprint.h"
#include "graph/scoring.h"
#include "graph/session.h"
#include "sampling/sampler.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Logits = nb::ndarray<nb::numpy, float>;
using Tokens = std::vector<int32_t>;

std::map<std::string, std::string> tensor_types(const Model& model) {
  std::map<std::string, std::string> types;
  for (const TensorInfo& tensor : model.file().tensors()) types[tensor.name] = tensor_type_name(tensor.type);
  return types;
}

std::map<std::string, std::vector<uint64_t>> tensor_shapes(const Model& model) {
  std::map<std::string, std::vector<uint64_t>> shapes;
  for (const TensorInfo& tensor : model.file().tensors()) {
    shapes[tensor.name] = {tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims};
  }
  return shapes;
}

// Two threads of Python may use one session by mistake: its calls are run one after the other.
struct GuardedSession {
  GuardedSession(std::shared_ptr<Model> model, int context_length, std::shared_ptr<Adapters> adapters)
      : session(std::move(model), context_length, std::move(adapters)) {}

  template <typename Call>
  auto locked(Call&& call) {
    const std::lock_guard<std::mutex> lock(mutex);
    return call(session);
  }

  Session session;
  std::mutex mutex;
};

nb::object prefill_logits(GuardedSession& guarded, const Tokens& tokens) {
  const auto stride = static_cast<size_t>(guarded.session.logits_stride());
  auto* memory = new Buffer(std::max<size_t>(tokens.size(), 1) * stride * sizeof(float));
  const nb::capsule owner(memory, [](void* p) noexcept { delete static_cast<Buffer*>(p); });
  {
    const nb::gil_scoped_release release;
    guarded.locked([&](Session& session) { session.prefill_logits(tokens, memory->as<float>()); });
  }
  const auto vocab = static_cast<size_t>(guarded.session.model().config().vocab_size);
  const size_t shape[2] = {tokens.size(), vocab};
  const int64_t strides[2] = {static_cast<int64_t>(stride), 1};
  return nb::cast(Logits(memory->data(), 2, shape, owner, strides));
}

nb::object last_logits(GuardedSession& guarded) {
  const std::lock_guard<std::mutex> lock(guarded.mutex);
  const auto logits = guarded.session.logits();
  if (logits.empty()) throw Error("there are no logits yet; evaluate a token first");
  auto* copy = new std::vector<float>(logits.begin(), logits.end());
  const nb::capsule owner(copy, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  const size_t shape[1] = {copy->size()};
  return nb::cast(Logits(copy->data(), 1, shape, owner));
}

int32_t step(GuardedSession& guarded, int32_t token, Sampler& sampler) {
  return guarded.locked([&](Session& session) {
    session.prefill({&token, 1});
    return sampler.sample(session.logits());
  });
}

Tokens decode(GuardedSession& guarded, int32_t token, Sampler& sampler, int num_tokens) {
  Tokens out;
  guarded.locked([&](Session& session) {
    for (int i = 0; i < num_tokens; ++i) {
      session.prefill({&token, 1});
      token = sampler.sample(session.logits());
      out.push_back(token);
    }
  });
  return out;
}

using Scores = std::vector<std::pair<double, bool>>;

Scores score_all(const Model& model, const std::vector<Tokens>& sequences, const std::vector<int>& num_scored,
                 const Adapters* adapters) {
  if (sequences.size() != num_scored.size())
    throw Error("there must be a number of tokens for each sequence");
  std::vector<ScoreRequest> requests;
  for (size_t i = 0; i < sequences.size(); ++i) requests.push_back({sequences[i], num_scored[i]});
  Scores scores;
  for (const Score& score : score(model, requests, adapters)) {
    scores.emplace_back(score.log_probability, score.greedy);
  }
  return scores;
}

void bind_session(nb::module_& m) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<GuardedSession>(m, "Session")
      .def_prop_ro("position", [](GuardedSession& s) { return s.session.position(); })
      .def_prop_ro("context_length", [](GuardedSession& s) { return s.session.context_length(); })
      .def("live_fractions",
           [](GuardedSession& s) {
             return s.locked([](Session& session) { return session.live_fractions(); });
           })
      .def_prop_ro("adapters", [](GuardedSession& s) { return s.session.adapters(); })
      .def_prop_ro("kv_bytes", [](GuardedSession& s) { return s.session.kv_bytes(); })
      .def(
          "prefill",
          [](GuardedSession& s, const Tokens& tokens) {
            s.locked([&](Session& session) { session.prefill(tokens); });
          },
          "tokens"_a, release)
      .def("prefill_logits", &prefill_logits, "tokens"_a)
      .def("logits", &last_logits)
      .def(
          "sample",
          [](GuardedSession& s, Sampler& sampler) {
            return s.locked([&](Session& session) { return sampler.sample(session.logits()); });
          },
          "sampler"_a, release)
      .def("step", &step, "token"_a, "sampler"_a, release)
      .def("decode", &decode, "token"_a, "sampler"_a, "num_tokens"_a, release)
      .def(
          "truncate",
          [](GuardedSession& s, int position) {
            s.locked([&](Session& session) { session.truncate(position); });
          },
          "position"_a, release);
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_model(nb::module_& m) {
  m.attr("MAX_THREADS") = kMaxThreads;
  nb::class_<Sampler>(m, "Sampler")
      .def(
          "__init__",
          [](Sampler* self, float temperature, int top_k, float top_p, float min_p, uint64_t seed) {
            new (self) Sampler(SamplerOptions{temperature, top_k, top_p, min_p, seed});
          },
          "temperature"_a = 0.0f, "top_k"_a = 0, "top_p"_a = 1.0f, "min_p"_a = 0.0f, "seed"_a = 0);
  nb::class_<Model>(m, "Model")
      .def_static(
          "load",
          [](const std::string& path, const std::string& isa, std::optional<int> num_threads, bool sparse_ffn,
             int context_length) {
            return Model::load(path, LoadOptions{isa, num_threads, sparse_ffn, context_length});
          },
          "path"_a, "isa"_a = "", "num_threads"_a = nb::none(), "sparse_ffn"_a = true, "context_length"_a = 0,
          nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("metadata", [](const Model& model) { return metadata_to_python(model.file()); })
      .def_prop_ro("tensor_types", &tensor_types)
      .def_prop_ro("tensor_shapes", &tensor_shapes)
      .def_prop_ro("weight_bytes", &Model::weight_bytes)
      .def_prop_ro(
          "buffer_bytes",
          [](const Model& model) { return buffer_bytes(model.config(), model.threads().num_threads()); })
      .def(
          "kv_bytes",
          [](const Model& model, int context_length) {
            return KvCache::bytes_for(model.config(), context_length);
          },
          "context_length"_a)
      .def_prop_ro("file_bytes", [](const Model& model) { return model.file().size_bytes(); })
      .def_prop_ro("isa", [](const Model& model) { return model.kernels().name; })
      .def_prop_ro("num_threads", [](const Model& model) { return model.threads().num_threads(); })
      .def_prop_ro("decode_threads", &Model::decode_threads)
      .def_prop_ro("prefill_threads", &Model::prefill_threads)
      .def_prop_ro("tokenizer", &Model::tokenizer, nb::rv_policy::reference_internal)
      .def("read_bandwidth", &weight_bandwidth, nb::call_guard<nb::gil_scoped_release>())
      .def("score", &score_all, "sequences"_a, "num_scored"_a, "adapters"_a = nb::none(),
           nb::call_guard<nb::gil_scoped_release>())
      .def(
          "new_session",
          [](std::shared_ptr<Model> model, int context_length, std::shared_ptr<Adapters> adapters) {
            return new GuardedSession(std::move(model), context_length, std::move(adapters));
          },
          "context_length"_a, "adapters"_a = nb::none(), nb::rv_policy::take_ownership,
          nb::call_guard<nb::gil_scoped_release>());
  bind_session(m);
}
