// Models in several files, as llama.cpp's gguf-split writes them: NAME-00001-of-00003.gguf and so on. The
// first has the model's metadata, and each has tensors of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gguf/part.h"

namespace phonelm {

// The parts of the model that the file at `path` is, or is one of, in their order. Throws as `GgufFile::open`
// does, and Error for parts that do not belong together, a name that does not tell the others', and one that
// is not there.
std::vector<std::unique_ptr<GgufPart>> open_parts(const std::string& path);

}  // namespace phonelm
