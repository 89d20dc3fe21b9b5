// The key-value section of a GGUF file.
#pragma once

#include <string>

#include "gguf/cursor.h"
#include "gguf/gguf.h"

namespace phonelm {

// Key length, the shortest key, value type, the shortest value.
inline constexpr size_t kMinMetadataBytes = 8 + 1 + 4 + 1;

// Reads the value (its type first) that follows `key`. Throws Error: truncated, unknown type, a bool that is
// neither 0 nor 1, an array in an array.
MetaValue read_meta_value(Cursor& cursor, const std::string& key);

}  // namespace phonelm
