#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>

#include "bench/weights.h"
#include "bindings/bind.h"
#include "bindings/bind_session.h"
#include "core/error.h"
#include "graph/describe.h"
#include "graph/divergence.h"
#include "graph/loader.h"
#include "graph/scoring.h"
#include "sampling/sampler.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Tokens = std::vector<int32_t>;

std::map<std::string, std::string> tensor_types(const Model& model) {
  std::map<std::string, std::string> types;
  for (const TensorInfo& tensor : model.file().tensors()) types[tensor.name] = tensor_type_name(tensor.type);
  return types;
}

// Elements and bytes of a block, by the name of the type.
std::map<std::string, std::pair<size_t, size_t>> tensor_blocks() {
  std::map<std::string, std::pair<size_t, size_t>> blocks;
  for (const TensorType type : kTensorTypes)
    blocks[tensor_type_name(type)] = {tensor_type_block_size(type), tensor_type_block_bytes(type)};
  return blocks;
}

std::map<std::string, std::vector<uint64_t>> tensor_shapes(const Model& model) {
  std::map<std::string, std::vector<uint64_t>> shapes;
  for (const TensorInfo& tensor : model.file().tensors()) {
    shapes[tensor.name] = {tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims};
  }
  return shapes;
}

using Scores = std::vector<std::pair<double, bool>>;

Scores score_all(const Model& model, const std::vector<Tokens>& sequences, const std::vector<int>& num_scored,
                 const Adapters* adapters, const std::string& kv_type) {
  if (sequences.size() != num_scored.size())
    throw Error("there must be a number of tokens for each sequence");
  std::vector<ScoreRequest> requests;
  for (size_t i = 0; i < sequences.size(); ++i) requests.push_back({sequences[i], num_scored[i]});
  Scores scores;
  for (const Score& score : score(model, requests, adapters, parse_kv_type(kv_type)))
    scores.emplace_back(score.log_probability, score.greedy);
  return scores;
}

using LogitMatrix = nb::ndarray<const float, nb::ndim<2>, nb::device::cpu>;
using Differences = std::vector<std::tuple<double, bool, double, double>>;

LogitRows rows_of(const LogitMatrix& logits, const Model& model, size_t num_rows) {
  const auto width = static_cast<size_t>(model.config().vocab_size);
  if (logits.shape(0) != num_rows || logits.shape(1) != width || logits.stride(1) != 1 ||
      logits.stride(0) < 0) {
    throw Error("logits must be " + std::to_string(num_rows) + " rows of " + std::to_string(width));
  }
  return {logits.data(), static_cast<size_t>(logits.stride(0))};
}

Differences differences_of(const Model& model, const LogitMatrix& reference, const LogitMatrix& other,
                           const Tokens& targets) {
  const LogitRows expected = rows_of(reference, model, targets.size());
  const LogitRows rows = rows_of(other, model, targets.size());
  Differences found;
  for (const RowDifference& row : compare_rows(model, expected, rows, targets))
    found.emplace_back(row.divergence, row.same_top, row.reference_nats, row.nats);
  return found;
}

nb::dict outline_of(const Path& path) {
  const Outline outline = [&] {
    const nb::gil_scoped_release release;
    return Loader(path.string(), LoadOptions{}).outline();
  }();
  nb::dict facts;
  facts["description"] = outline.description;
  facts["weight_bytes"] = outline.weight_bytes;
  facts["kv_bytes"] =
      std::map<std::string, size_t>{{"f16", outline.kv_bytes_f16}, {"q8_0", outline.kv_bytes_q8_0}};
  return facts;
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_model(nb::module_& m) {
  m.attr("MAX_THREADS") = kMaxThreads;
  m.attr("PANEL_ROWS") = kPanelRows;
  m.attr("CHUNK_TOKENS") = static_cast<int>(Scratch::kMaxChunk);
  m.attr("NUM_SINKS") = kDefaultSinks;
  m.attr("TENSOR_BLOCKS") = tensor_blocks();
  m.def(
      "describe", [](const Path& path) { return describe(*GgufFile::open(path.string())); }, "path"_a,
      nb::call_guard<nb::gil_scoped_release>());
  m.def("outline", &outline_of, "path"_a);
  nb::class_<Model> model(m, "Model");
  model
      .def_static(
          "load",
          [](const Path& path, const std::string& isa, std::optional<int> num_threads, bool sparse_ffn,
             int context_length, const std::string& kv_type) {
            return Model::load(path.string(), LoadOptions{isa, num_threads, sparse_ffn, context_length,
                                                          parse_kv_type(kv_type)});
          },
          "path"_a, "isa"_a = "", "num_threads"_a = nb::none(), "sparse_ffn"_a = true, "context_length"_a = 0,
          "kv_type"_a = "f16", nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("description", [](const Model& model) { return describe(model.config(), model.file()); })
      .def_prop_ro("context_length", [](const Model& model) { return model.config().context_length; })
      .def_prop_ro("metadata", [](const Model& model) { return metadata_to_python(model.file()); })
      .def_prop_ro("tensor_types", &tensor_types)
      .def_prop_ro("tensor_shapes", &tensor_shapes)
      .def_prop_ro("weight_bytes", &Model::weight_bytes)
      .def_prop_ro(
          "buffer_bytes",
          [](const Model& model) { return buffer_bytes(model.config(), model.threads().num_threads()); })
      .def(
          "kv_bytes",
          [](const Model& model, int context_length, const std::string& kv_type) {
            return KvCache::bytes_for(model.config(), context_length, parse_kv_type(kv_type));
          },
          "context_length"_a, "kv_type"_a = "f16")
      .def_prop_ro("file_bytes", [](const Model& model) { return model.file().size_bytes(); })
      .def_prop_ro("isa", [](const Model& model) { return model.kernels().name; })
      .def_prop_ro("num_threads", [](const Model& model) { return model.threads().num_threads(); })
      .def_prop_ro("decode_threads", &Model::decode_threads)
      .def_prop_ro("prefill_threads", &Model::prefill_threads)
      .def_prop_ro("tokenizer", &Model::tokenizer, nb::rv_policy::reference_internal)
      .def("read_bandwidth", &weight_bandwidth, nb::call_guard<nb::gil_scoped_release>())
      .def("score", &score_all, "sequences"_a, "num_scored"_a, "adapters"_a = nb::none(), "kv_type"_a = "f16",
           nb::call_guard<nb::gil_scoped_release>())
      .def("compare_rows", &differences_of, "reference_logits"_a, "logits"_a, "targets"_a,
           nb::call_guard<nb::gil_scoped_release>());
  bind_session(m, model);
}
