// Rotary position embedding (RoFormer, arXiv 2104.09864), with PhoneLM's int8 table (arXiv 2411.05046) by
// choice.
#pragma once

#include "graph/config.h"
#include "graph/config_reader.h"

namespace phonelm {

// theta^(-2 i / rope_dim), in float32 as transformers computes them.
std::vector<float> rope_frequencies(float theta, int rope_dim);

// A rope that is not scaled.
Rope plain_rope(float theta, int rope_dim);

// The rope that a file describes: its base, scaled linearly, by YaRN (arXiv 2309.00071) or by a tensor of
// factors. Sets the configuration's original context, and adds the tensors read to its list. Throws Error for
// a scaling or a value that is not known, by its key's or tensor's name.
Rope read_rope(const ConfigReader& reader, int rope_dim, ModelConfig& config);

// cos and sin of one position for all ropes, `config.num_angles()` each, in float32 as transformers computes
// them; past the model's context, where float32 has too few digits for an angle, from float64.
void rope_angles(const ModelConfig& config, int64_t position, bool is_long, float* cosines, float* sines);

// Rotates one head in place, by the angles of this rope.
void rope_rotate(const Rope& rope, const float* cosines, const float* sines, float* head);

}  // namespace phonelm
