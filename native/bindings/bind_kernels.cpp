// Single kernels by instruction set, for the tests that compare them.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "bindings/bind.h"
#include "core/error.h"
#include "graph/kv_cache.h"
#include "graph/scratch.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Halves = nb::ndarray<const uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

nb::object to_numpy(std::vector<float> values, std::vector<size_t> shape) {
  auto* kept = new std::vector<float>(std::move(values));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, float>(kept->data(), shape.size(), shape.data(), owner));
}

void require(bool holds, const char* what) {
  if (!holds) throw Error(what);
}

int size_of(size_t value) { return static_cast<int>(value); }

// The shape of a matrix whose blocks are given.
PackedMatrix checked_layout(uint32_t type_number, const nb::bytes& blocks, int rows, int cols) {
  const auto type = static_cast<TensorType>(type_number);
  const bool known = std::ranges::find(kTensorTypes, type) != std::end(kTensorTypes);
  require(known && rows > 0 && cols > 0 && cols % tile_cols(type) == 0, "not a matrix of this type");
  const size_t row_bytes = static_cast<size_t>(cols / tile_cols(type)) * tensor_type_block_bytes(type);
  require(blocks.size() == row_bytes * static_cast<size_t>(rows), "sizes differ");
  return packed_layout(type, rows, cols);
}

// y = x W^T (+ start), with W as GGUF blocks.
nb::object kernel_matmul(const std::string& isa, uint32_t type_number, const nb::bytes& blocks, int rows,
                         int cols, const Matrix& x, const std::optional<Matrix>& start) {
  PackedMatrix matrix = checked_layout(type_number, blocks, rows, cols);
  require(cols == size_of(x.shape(1)), "sizes differ");
  const Buffer packed(matrix.num_bytes() + 4096);
  pack_panels(matrix, reinterpret_cast<const std::byte*>(blocks.c_str()), 0, matrix.num_panels,
              packed.data());
  matrix.data = packed.data();

  const Kernels& kernels = select_kernels(isa);
  const int num_tokens = size_of(x.shape(0));
  const InputBuffer memory(num_tokens, cols);
  const Activations input = memory.view(num_tokens, cols);
  for (int token = 0; token < num_tokens; ++token) {
    std::memcpy(memory.values(token), x.data() + static_cast<size_t>(token * cols),
                static_cast<size_t>(cols) * 4);
    kernels.quantize(memory.values(token), token, input);
  }
  const Rows out(num_tokens, rows);
  if (start) {
    require(start->shape(0) == x.shape(0) && size_of(start->shape(1)) == rows, "sizes differ");
    for (int token = 0; token < num_tokens; ++token)
      std::copy_n(start->data() + static_cast<ptrdiff_t>(token) * rows, rows, out.row(token));
  }
  kernels.matmul(matrix, 0, matrix.num_panels, input, out.row(0), out.stride, start.has_value());
  std::vector<float> result;
  for (int token = 0; token < num_tokens; ++token)
    result.insert(result.end(), out.row(token), out.row(token) + rows);
  return to_numpy(std::move(result), {static_cast<size_t>(num_tokens), static_cast<size_t>(rows)});
}

// One row of a matrix, packed and unpacked again.
nb::object kernel_unpack_row(uint32_t type_number, const nb::bytes& blocks, int rows, int cols, int row) {
  PackedMatrix matrix = checked_layout(type_number, blocks, rows, cols);
  require(row >= 0 && row < rows, "no such row");
  const Buffer packed(matrix.num_bytes());
  pack_panels(matrix, reinterpret_cast<const std::byte*>(blocks.c_str()), 0, matrix.num_panels,
              packed.data());
  matrix.data = packed.data();
  std::vector<float> out(static_cast<size_t>(cols));
  unpack_row(matrix, row, out.data());
  return to_numpy(std::move(out), {static_cast<size_t>(cols)});
}

// a [rows, k] times w [k, 16].
nb::object kernel_half_panel(const std::string& isa, const Halves& w, const Matrix& a, bool may_round) {
  require(w.shape(1) == kPanelRows && w.shape(0) == a.shape(1), "sizes differ");
  std::vector<float> out(a.shape(0) * kPanelRows);
  const int num_k = size_of(w.shape(0));
  const HalfPanels panels{w.data(), 1, 0, num_k, kPanelRows, may_round};
  select_kernels(isa).half_panels(panels, a.data(), num_k, size_of(a.shape(0)), out.data(), kPanelRows,
                                  false);
  return to_numpy(std::move(out), {a.shape(0), size_t{kPanelRows}});
}

// A cache of one head that holds these keys and values, one row per position.
KvCache one_head(const Matrix& rows, const Kernels& kernels) {
  const int head_dim = size_of(rows.shape(1));
  ModelConfig config;
  config.layers.resize(1);
  config.layers[0].attention.num_kv_heads = 1;
  config.layers[0].attention.head_dim = head_dim;
  KvCache cache(config, size_of(rows.shape(0)), KvType::Q8_0);
  for (int slot = 0; slot < size_of(rows.shape(0)); ++slot) {
    const float* row = rows.data() + static_cast<size_t>(slot * head_dim);
    cache.store_key(kernels, 0, 0, slot, row);
    cache.store_value(kernels, 0, 0, slot, row);
  }
  return cache;
}

// a [rows, head_dim] times keys [positions, head_dim], which are kept as q8_0.
nb::object kernel_byte_keys(const std::string& isa, const Matrix& keys, const Matrix& a, bool may_round) {
  require(keys.shape(1) == a.shape(1), "sizes differ");
  const Kernels& kernels = select_kernels(isa);
  const int num_keys = size_of(keys.shape(0));
  const Rows out(size_of(a.shape(0)), num_keys);
  const KvCache cache = one_head(keys, kernels);
  kernels.byte_keys(cache.key_bytes(0, 0, 0, num_keys, may_round), a.data(), size_of(a.shape(1)),
                    size_of(a.shape(0)), out.row(0), out.stride);
  std::vector<float> result;
  for (int row = 0; row < size_of(a.shape(0)); ++row)
    result.insert(result.end(), out.row(row), out.row(row) + num_keys);
  return to_numpy(std::move(result), {a.shape(0), keys.shape(0)});
}

// a [rows, positions] times values [positions, head_dim], which are kept as q8_0.
nb::object kernel_byte_values(const std::string& isa, const Matrix& values, const Matrix& a, bool may_round) {
  require(values.shape(0) == a.shape(1), "sizes differ");
  const Kernels& kernels = select_kernels(isa);
  const int num_rows = size_of(a.shape(0));
  const int head_dim = size_of(values.shape(1));
  const Rows weights(num_rows, size_of(a.shape(1)));
  const Rows out(num_rows, head_dim);
  for (int row = 0; row < num_rows; ++row)
    std::copy_n(a.data() + static_cast<size_t>(row) * a.shape(1), a.shape(1), weights.row(row));
  const KvCache cache = one_head(values, kernels);
  kernels.byte_values(cache.value_bytes(0, 0, 0, size_of(values.shape(0)), may_round), weights.row(0),
                      weights.stride, num_rows, out.row(0), out.stride);
  std::vector<float> result;
  for (int row = 0; row < num_rows; ++row) result.insert(result.end(), out.row(row), out.row(row) + head_dim);
  return to_numpy(std::move(result), {a.shape(0), values.shape(1)});
}

nb::object kernel_norm(const std::string& isa, const std::string& kind, const Vector& x,
                       const std::optional<Vector>& weight, const std::optional<Vector>& bias, float eps) {
  const auto name = std::find(kNormNames.begin(), kNormNames.end(), kind);
  require(name != kNormNames.end(), "no such norm");
  require((!weight || weight->shape(0) == x.shape(0)) && (!bias || bias->shape(0) == x.shape(0)),
          "sizes differ");
  const Norm norm{static_cast<NormKind>(name - kNormNames.begin()), weight ? weight->data() : nullptr,
                  bias ? bias->data() : nullptr, eps};
  std::vector<float> out(x.shape(0));
  select_kernels(isa).norm(norm, x.data(), size_of(x.shape(0)), out.data());
  return to_numpy(std::move(out), {x.shape(0)});
}

nb::object kernel_activate(const std::string& isa, const std::string& kind, const Vector& gate,
                           const Vector& up) {
  require(gate.shape(0) == up.shape(0), "sizes differ");
  const Activation activation = kind == "silu"        ? Activation::Silu
                                : kind == "relu"      ? Activation::Relu
                                : kind == "gelu_tanh" ? Activation::GeluTanh
                                                      : Activation::Relu2;
  std::vector<float> out(gate.data(), gate.data() + gate.shape(0));
  select_kernels(isa).activate(activation, out.data(), up.data(), size_of(gate.shape(0)));
  return to_numpy(std::move(out), {gate.shape(0)});
}

nb::object kernel_softmax(const std::string& isa, const Vector& x) {
  const Kernels& kernels = select_kernels(isa);
  std::vector<float> out(x.data(), x.data() + x.shape(0));
  const int size = size_of(out.size());
  const float sum = kernels.exponentiate(out.data(), size, kernels.maximum(x.data(), size));
  kernels.scale(out.data(), size, 1.0f / sum);
  return to_numpy(std::move(out), {x.shape(0)});
}

std::vector<uint16_t> kernel_to_half(const std::string& isa, const Vector& x) {
  std::vector<uint16_t> out(x.shape(0));
  select_kernels(isa).to_half(x.data(), size_of(x.shape(0)), out.data());
  return out;
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_kernels(nb::module_& m) {
  m.def("kernel_matmul", &kernel_matmul, "isa"_a, "type"_a, "blocks"_a, "rows"_a, "cols"_a, "x"_a,
        "start"_a = nb::none());
  m.def("kernel_unpack_row", &kernel_unpack_row, "type"_a, "blocks"_a, "rows"_a, "cols"_a, "row"_a);
  m.def("kernel_half_panel", &kernel_half_panel, "isa"_a, "w"_a, "a"_a, "may_round"_a = false);
  m.def("kernel_byte_keys", &kernel_byte_keys, "isa"_a, "keys"_a, "a"_a, "may_round"_a = false);
  m.def("kernel_byte_values", &kernel_byte_values, "isa"_a, "values"_a, "a"_a, "may_round"_a = false);
  m.def("kernel_norm", &kernel_norm, "isa"_a, "kind"_a, "x"_a, "weight"_a.none(), "bias"_a.none(), "eps"_a);
  m.def("kernel_activate", &kernel_activate, "isa"_a, "kind"_a, "gate"_a, "up"_a);
  m.def("kernel_softmax", &kernel_softmax, "isa"_a, "x"_a);
  m.def("kernel_to_half", &kernel_to_half, "isa"_a, "x"_a);
}
