// What a model takes besides its weights, known before any of it is allocated.
#pragma once

#include <cstddef>

#include "graph/config.h"

namespace phonelm {

// Working memory of a model and the logits of one session.
size_t buffer_bytes(const ModelConfig& config, int num_threads);

}  // namespace phonelm
