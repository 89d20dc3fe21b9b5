// The AMX kernels on a model of the tile unit, for tests on machines without one. Needs AVX-512; no user can
// choose it.
#pragma once

#include "kernels/kernels.h"

namespace phonelm {

const Kernels& emulated_amx_kernels();

}  // namespace phonelm
