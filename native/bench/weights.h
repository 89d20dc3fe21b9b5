// How fast memory delivers a model's own weights: what bounds decode. Measured where they lie, because one
// allocation may lie in memory twice as fast as another's (another node of the host, say).
#pragma once

#include "graph/model.h"

namespace phonelm {

// Bytes a second at which decode's threads read the packed weights and do nothing else: the best of some
// passes.
double weight_bandwidth(const Model& model);

}  // namespace phonelm
