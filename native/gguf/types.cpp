#include <cstdlib>

#include "gguf/gguf.h"

namespace phonelm {
namespace {

struct TypeTraits {
  TensorType type;
  const char* name;
  size_t block_size;
  size_t block_bytes;
};

constexpr TypeTraits kTypes[] = {
    {TensorType::F32, "F32", 1, 4},     {TensorType::F16, "F16", 1, 2},
    {TensorType::BF16, "BF16", 1, 2},   {TensorType::Q4_0, "Q4_0", 32, 18},
    {TensorType::Q4_1, "Q4_1", 32, 20}, {TensorType::Q8_0, "Q8_0", 32, 34},
};

const TypeTraits& traits(TensorType type) {
  for (const TypeTraits& entry : kTypes) {
    if (entry.type == type) return entry;
  }
  std::abort();  // no other value gets past the reader
}

}  // namespace

const char* tensor_type_name(TensorType type) { return traits(type).name; }
size_t tensor_type_block_size(TensorType type) { return traits(type).block_size; }
size_t tensor_type_block_bytes(TensorType type) { return traits(type).block_bytes; }

}  // namespace phonelm
