// The key-value section of a GGUF file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/printable.h"

namespace phonelm {

class Cursor;

// Integers are int64 (uint64 where only that holds them; not in arrays), floats are double. An array without
// elements keeps its kind.
using MetaValue = std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<bool>,
                               std::vector<int64_t>, std::vector<double>, std::vector<std::string>>;
using Metadata = std::unordered_map<std::string, MetaValue>;

// Key length, the shortest key, value type, the shortest value.
inline constexpr size_t kMinMetadataBytes = 8 + 1 + 4 + 1;

// Throws Error: truncated, a key without a name or there twice, a value of an unknown type, a bool that is
// neither 0 nor 1, an array in an array.
Metadata read_metadata(Cursor& cursor, size_t num_keys);

// nullptr when absent; Error (naming the key and the file at `path`) when of another kind, which `kind`
// names.
template <class T>
const T* find_value(const Metadata& metadata, std::string_view key, const char* kind,
                    const std::string& path) {
  const auto place = metadata.find(std::string(key));
  if (place == metadata.end()) return nullptr;
  const T* value = std::get_if<T>(&place->second);
  if (value == nullptr) {
    throw Error(printable(path) + ": metadata key " + quoted(key) + " is not " + kind +
                "; convert the model again");
  }
  return value;
}
// nullopt when absent; Error as above.
std::optional<int64_t> find_integer(const Metadata& metadata, std::string_view key, const std::string& path);

}  // namespace phonelm
