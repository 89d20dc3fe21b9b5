// GGUF's quantized blocks in plain form: what the bits of each type's block mean, before they are packed.
// Source of the layouts: ggml-common.h and ggml-quants.c of llama.cpp.
#pragma once

#include "kernels/packed.h"

namespace phonelm {

// The weights of one row in a tile. Numbers have the meaning of packed.h.
struct Block {
  uint16_t scale;
  uint16_t minimum;
  // Of each group, for the types that have them.
  uint8_t sub_scales[kSuperGroups][2];
  uint8_t quants[kSuperGroups * kGroupSize];
};

// `source` has tensor_type_block_bytes(type) bytes.
void read_block(TensorType type, const std::byte* source, Block& block);

}  // namespace phonelm
