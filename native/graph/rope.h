// Rotary position embedding (RoFormer, arXiv 2104.09864), with PhoneLM's int8 table (arXiv 2411.05046) by
// choice.
#pragma once

#include "graph/config.h"

namespace phonelm {

// cos and sin of one position, rope_dim / 2 each, in float32 as transformers computes them.
void rope_angles(const ModelConfig& config, int position, float* cosines, float* sines);

// Rotates one head in place.
void rope_rotate(const ModelConfig& config, const float* cosines, const float* sines, float* head);

}  // namespace phonelm
