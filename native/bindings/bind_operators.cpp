// The operators of many decoders at once, as columns: what the cost model prices.
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <string_view>

#include "bindings/bind.h"
#include "graph/operators.h"
#include "kernels/neurons.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Column = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Decoders whose layers are all alike, one at each index.
struct UniformShapes {
  Column hidden, layers, head_dim, heads, kv_heads, intermediate;
  Column gated, relu;  // 0 or 1

  size_t size() const { return hidden.shape(0); }
  LayerShape layer(size_t index) const {
    LayerShape shape;
    shape.attention = {.num_heads = heads.data()[index],
                       .num_kv_heads = kv_heads.data()[index],
                       .head_dim = head_dim.data()[index]};
    shape.ffn = {intermediate.data()[index], gated.data()[index] != 0,
                 relu.data()[index] != 0 ? Activation::Relu : Activation::Silu};
    return shape;
  }
};

// The shapes that have an operator, how often they run it, and its sizes.
struct Columns {
  Part part = Part::Overhead;
  std::vector<int32_t> index, times;
  std::vector<const char*> names;
  std::vector<std::vector<int32_t>> sizes;

  void add(const OperatorSizes& op, size_t shape, int num_times) {
    if (names.empty()) {
      part = op.part;
      for (const auto& size : op.sizes) {
        if (size.name) names.push_back(size.name);
      }
      sizes.resize(names.size());
    }
    index.push_back(static_cast<int32_t>(shape));
    times.push_back(num_times);
    for (size_t i = 0; i < names.size(); ++i) sizes[i].push_back(op.sizes[i].value);
  }
};

nb::object to_numpy(std::vector<int32_t> values) {
  auto* kept = new std::vector<int32_t>(std::move(values));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<int32_t>*>(p); });
  const size_t shape[] = {kept->size()};
  return nb::cast(nb::ndarray<nb::numpy, int32_t>(kept->data(), 1, shape, owner));
}

nb::dict to_dict(Columns columns) {
  nb::dict sizes;
  for (size_t i = 0; i < columns.names.size(); ++i) sizes[columns.names[i]] = to_numpy(columns.sizes[i]);
  nb::dict of_operator;
  of_operator["part"] = kPartNames[static_cast<size_t>(columns.part)];
  of_operator["index"] = to_numpy(std::move(columns.index));
  of_operator["times"] = to_numpy(std::move(columns.times));
  of_operator["sizes"] = sizes;
  return of_operator;
}

// By name, each operator of a pass over these decoders.
nb::dict uniform_operators(int vocab_size, const UniformShapes& shapes, const std::string& block_type,
                           const Phase& phase) {
  const TensorType type = tensor_type_by_name(block_type);
  std::map<std::string_view, Columns> columns;
  ModelConfig config;
  config.vocab_size = vocab_size;
  config.layers.resize(1);
  for (size_t i = 0; i < shapes.size(); ++i) {
    config.hidden_size = shapes.hidden.data()[i];
    config.layers[0] = shapes.layer(i);
    const FfnShape& ffn = config.layers[0].ffn;
    const bool by_neuron = has_dead_neurons(ffn.activation) &&
                           neuron_layout_fits(type, config.hidden_size, ffn.intermediate_size);
    for (const Operator& op : operators(config, [by_neuron](int) { return by_neuron; })) {
      const bool of_layer = op.kind != OperatorKind::Embed && op.kind != OperatorKind::Head;
      const OperatorSizes sizes = sizes_of(op, config, phase);
      columns[sizes.name].add(sizes, i, of_layer ? shapes.layers.data()[i] : 1);
    }
  }
  nb::dict by_name;
  for (auto& [name, of_operator] : columns)
    by_name[nb::str(name.data(), name.size())] = to_dict(std::move(of_operator));
  return by_name;
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_operators(nb::module_& m) {
  m.def(
      "uniform_operators",
      [](int vocab_size, const Column& hidden, const Column& layers, const Column& head_dim,
         const Column& heads, const Column& kv_heads, const Column& intermediate, const Column& gated,
         const Column& relu, const std::string& block_type, int num_tokens, int context, int num_threads) {
        const UniformShapes shapes{hidden, layers, head_dim, heads, kv_heads, intermediate, gated, relu};
        return uniform_operators(vocab_size, shapes, block_type, {num_tokens, context, num_threads});
      },
      "vocab_size"_a, "hidden"_a, "layers"_a, "head_dim"_a, "heads"_a, "kv_heads"_a, "intermediate"_a,
      "gated"_a, "relu"_a, "block_type"_a, "num_tokens"_a, "context"_a, "num_threads"_a);
}
