// ARMv8.2 with dot products (Cortex-A75, A76 and all later ones). One `sdot` is 16 multiply-adds.
//
// Batches take two tokens at a time: of Q4_0, 72 instructions for 512 multiply-adds with 8 rows, 46 of them
// on the vector pipes: 32 `sdot`, 4 conversions, 4 multiplications, 4 multiply-adds and 2 copies. A
// Cortex-A76 starts 2 vector instructions and 4 of all kinds a cycle, so that the bound is 22 multiply-adds a
// cycle of the 32 that `sdot` alone would do, and 45 on a core with four vector pipes (X1 on); a residual
// term adds 22 vector instructions for 256. A token alone, both terms: 284 instructions, 130 of them for
// vectors, for the 288 bytes of a tile, 4 bytes a cycle on an A76. Counted in what GCC 12 makes of it; no
// processor was there to measure.
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

namespace {

constexpr Kernels dotprod_table() {
  Kernels kernels = vector_kernels<Vec>("dotprod");
  kernels.matmul = matmul;
  kernels.neuron_rows = neuron_rows;
  kernels.neuron_columns = neuron_columns;
  kernels.half_panels = half_panels;
  kernels.to_half = to_half;
  return kernels;
}

}  // namespace

constinit const Kernels kDotprodKernels = dotprod_table();

}  // namespace phonelm
