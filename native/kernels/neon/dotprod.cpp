#include "kernels/byte_panels.h"
#include "kernels/neon/sdot.h"

namespace phonelm {
namespace {

using SomeTokens = OneToken;

}  // namespace
}  // namespace phonelm

#include "kernels/neon/neurons.h"
#include "kernels/neon/panels.h"
#include "kernels/tables.h"

namespace phonelm {

const Kernels kDotprodKernels{"dotprod",     matmul,        neuron_rows,    neuron_columns,    half_panels,
                              quantize<Vec>, rms_norm<Vec>, activate<Vec>,  exponentiate<Vec>, maximum<Vec>,
                              scale<Vec>,    to_half,       byte_keys<Vec>, byte_values<Vec>};

}  // namespace phonelm
