// GGUF files that hold something else than a model.
#pragma once

#include "gguf/gguf.h"

namespace phonelm {

// Throws Error for an adapter, a vocabulary without weights and their like: what the file is, and what to
// give instead.
void refuse_other_kinds(const GgufFile& file);

}  // namespace phonelm
