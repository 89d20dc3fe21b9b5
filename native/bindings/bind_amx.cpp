// The AMX kernels on a model of the tile unit, for the tests.
#include "bindings/bind.h"

#if defined(PHONELM_X86)
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "core/error.h"
#include "graph/scratch.h"
#include "kernels/amx/emulated.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {
namespace {

using Inputs = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Outputs = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

const Kernels& kernels_by_name(const std::string& name) {
  return name == "amx-emulated" ? emulated_amx_kernels() : select_kernels(name);
}

// Quantizes by the reference into memory that another batch has used before: one with residual terms in all
// groups and tokens up to the end of the last block.
Activations quantized(const InputBuffer& memory, const Inputs& x) {
  const int num_tokens = static_cast<int>(x.shape(0));
  const auto quantize = select_kernels("scalar").quantize;
  const auto row = [&](int token) { return x.data() + static_cast<size_t>(token) * x.shape(1); };
  const Activations input = memory.view(num_tokens, static_cast<int>(x.shape(1)));
  Activations earlier = input;
  earlier.residual_limit = 0.0f;
  const int end = static_cast<int>(round_up(x.shape(0), static_cast<size_t>(input.block)));
  for (int token = 0; token < end; ++token)
    quantize(row(num_tokens - 1 - token % num_tokens), token, earlier);
  for (int token = 0; token < num_tokens; ++token) quantize(row(token), token, input);
  return input;
}

// out (+)= x W^T, with W as GGUF blocks: [tokens, rows rounded up to panels]. The panels are done in two
// calls, as two threads share them.
void kernel_matmul_into(const std::string& name, uint32_t type_number, const nb::bytes& blocks, int rows,
                        const Inputs& x, const Outputs& out, bool accumulate) {
  const auto cols = static_cast<int>(x.shape(1));
  PackedMatrix weights = packed_layout(static_cast<TensorType>(type_number), rows, cols);
  const int stride = static_cast<int>(out.shape(1));
  if (out.shape(0) < x.shape(0) || stride < weights.padded_rows()) throw Error("sizes differ");
  const Buffer packed(weights.num_bytes() + 4096);
  const auto* source = reinterpret_cast<const std::byte*>(blocks.c_str());
  pack_panels(weights, source, 0, weights.num_panels, packed.data());
  weights.data = packed.data();

  const InputBuffer memory(static_cast<int>(x.shape(0)), cols);
  Activations input = quantized(memory, x);
  // Float types read the rows themselves.
  input.values = x.data();
  input.stride = cols;
  const Kernels& kernels = kernels_by_name(name);
  const int middle = weights.num_panels / 2;
  kernels.matmul(weights, 0, middle, input, out.data(), stride, accumulate);
  kernels.matmul(weights, middle, weights.num_panels, input, out.data(), stride, accumulate);
}

}  // namespace
}  // namespace phonelm

void bind_amx(nb::module_& m) {
  m.def("kernel_matmul_into", &phonelm::kernel_matmul_into, "name"_a, "type"_a, "blocks"_a, "rows"_a, "x"_a,
        "out"_a, "accumulate"_a);
}
#else
void bind_amx(nanobind::module_&) {}
#endif
