// The kernel tables of the instruction sets that are compiled in.
#pragma once

#include "kernels/kernels.h"

namespace phonelm {

extern const Kernels kScalarKernels;
#if defined(PHONELM_X86)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
// The same, with bfloat16 products for attention over a batch where the machine has them.
const Kernels& avx512_kernels();
const Kernels& amx_kernels();
#elif defined(PHONELM_ARM64)
extern const Kernels kNeonKernels;
extern const Kernels kDotprodKernels;
extern const Kernels kI8mmKernels;
#endif

}  // namespace phonelm
