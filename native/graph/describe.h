// A model's description in the form of Python's arch.DecoderConfig.
#pragma once

#include <string>

#include "graph/config.h"

namespace phonelm {

// One JSON object: the configuration as the graph understood it; bias, fused and tied matrices as the file's
// tensors have them. Equal layers that follow each other are one, with `repeat`. A float is the shortest
// decimal that is this float. Throws Error for tensors that no description fits: a bias beside a matrix that
// has none, by the tensor's name.
std::string describe(const ModelConfig& config, const GgufFile& file);

// Of a file whose weights are not loaded. Throws Error as `read_config` does, and for a file that tells no
// size of its vocabulary.
std::string describe(const GgufFile& file);

}  // namespace phonelm
