// The kernels of matrices stored neuron by neuron, by instruction set, for the tests that compare them.
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>

#include "bindings/bind.h"
#include "core/error.h"
#include "graph/scratch.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

const std::byte* checked(TensorType type, const nb::bytes& blocks, int rows, int cols) {
  const size_t row_bytes = static_cast<size_t>(cols / tile_cols(type)) * tensor_type_block_bytes(type);
  if (blocks.size() != row_bytes * static_cast<size_t>(rows)) throw Error("sizes differ");
  return reinterpret_cast<const std::byte*>(blocks.c_str());
}

nb::object to_numpy(std::vector<float> values) {
  auto* kept = new std::vector<float>(std::move(values));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  const size_t shape[1] = {kept->size()};
  return nb::cast(nb::ndarray<nb::numpy, float>(kept->data(), 1, shape, owner));
}

Activations quantized(const Kernels& kernels, const InputBuffer& memory, const Vector& x) {
  const Activations input = memory.view(1, static_cast<int>(x.shape(0)));
  std::copy_n(x.data(), x.shape(0), memory.values(0));
  kernels.quantize(memory.values(0), 0, input);
  return input;
}

// The products of the neurons listed, zero elsewhere.
nb::object kernel_neuron_rows(const std::string& isa, uint32_t type_number, const nb::bytes& blocks, int rows,
                              const std::vector<int32_t>& neurons, const Vector& x) {
  const auto type = static_cast<TensorType>(type_number);
  const int cols = static_cast<int>(x.shape(0));
  NeuronRows matrix = neuron_rows_layout(type, rows, cols);
  const Buffer packed(matrix.num_bytes());
  pack_neuron_rows(matrix, checked(type, blocks, rows, cols), 0, rows, packed.data());
  matrix.data = packed.data();
  const Kernels& kernels = select_kernels(isa);
  const InputBuffer memory(1, cols);
  std::vector<float> out(static_cast<size_t>(rows));
  const Buffer scratch(2 * runs_bytes(cols));
  kernels.neuron_rows(matrix, neurons.data(), static_cast<int>(neurons.size()), quantized(kernels, memory, x),
                      scratch.as<int8_t>(), out.data());
  return to_numpy(std::move(out));
}

// 1 + W x in the rows [begin, end), 1 elsewhere.
nb::object kernel_neuron_columns(const std::string& isa, uint32_t type_number, const nb::bytes& blocks,
                                 int rows, int begin, int end, const Vector& x) {
  const auto type = static_cast<TensorType>(type_number);
  const int cols = static_cast<int>(x.shape(0));
  NeuronColumns matrix = neuron_columns_layout(type, rows, cols);
  const Buffer packed(matrix.num_bytes());
  pack_neuron_columns(matrix, checked(type, blocks, rows, cols), 0, matrix.num_groups(), packed.data());
  matrix.data = packed.data();
  const Kernels& kernels = select_kernels(isa);
  const InputBuffer memory(1, cols);
  std::vector<float> out(static_cast<size_t>(rows), 1.0f);
  kernels.neuron_columns(matrix, begin, end, quantized(kernels, memory, x), out.data());
  return to_numpy(std::move(out));
}

template <typename Matrix>
nb::bytes as_panels(const Matrix& matrix) {
  const PackedMatrix shape = panel_layout(matrix);
  std::vector<std::byte> panels(shape.num_bytes());
  for (int panel = 0; panel < shape.num_panels; ++panel) {
    to_panel(matrix, panel, panels.data() + static_cast<size_t>(panel) * shape.panel_bytes);
  }
  return nb::bytes(panels.data(), panels.size());
}

// The panels of a matrix: packed at once, and by way of its neurons' rows ("rows") or columns ("columns").
nb::bytes packed_panels(const std::string& way, uint32_t type_number, const nb::bytes& blocks, int rows,
                        int cols) {
  const auto type = static_cast<TensorType>(type_number);
  const std::byte* source = checked(type, blocks, rows, cols);
  if (way == "rows") {
    NeuronRows matrix = neuron_rows_layout(type, rows, cols);
    const Buffer packed(matrix.num_bytes());
    pack_neuron_rows(matrix, source, 0, rows, packed.data());
    matrix.data = packed.data();
    return as_panels(matrix);
  }
  if (way == "columns") {
    NeuronColumns matrix = neuron_columns_layout(type, rows, cols);
    const Buffer packed(matrix.num_bytes());
    pack_neuron_columns(matrix, source, 0, matrix.num_groups(), packed.data());
    matrix.data = packed.data();
    return as_panels(matrix);
  }
  const PackedMatrix matrix = packed_layout(type, rows, cols);
  const Buffer packed(matrix.num_bytes());
  pack_panels(matrix, source, 0, matrix.num_panels, packed.data());
  return nb::bytes(packed.data(), matrix.num_bytes());
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_neurons(nb::module_& m) {
  m.def("kernel_neuron_rows", &kernel_neuron_rows, "isa"_a, "type"_a, "blocks"_a, "rows"_a, "neurons"_a,
        "x"_a);
  m.def("kernel_neuron_columns", &kernel_neuron_columns, "isa"_a, "type"_a, "blocks"_a, "rows"_a, "begin"_a,
        "end"_a, "x"_a);
  m.def("packed_panels", &packed_panels, "way"_a, "type"_a, "blocks"_a, "rows"_a, "cols"_a);
}
