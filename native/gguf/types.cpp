#include <cstdlib>
#include <iterator>

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
    {TensorType::F32, "F32", 1, 4},       {TensorType::F16, "F16", 1, 2},
    {TensorType::BF16, "BF16", 1, 2},     {TensorType::Q4_0, "Q4_0", 32, 18},
    {TensorType::Q4_1, "Q4_1", 32, 20},   {TensorType::Q5_0, "Q5_0", 32, 22},
    {TensorType::Q5_1, "Q5_1", 32, 24},   {TensorType::Q8_0, "Q8_0", 32, 34},
    {TensorType::Q2_K, "Q2_K", 256, 84},  {TensorType::Q3_K, "Q3_K", 256, 110},
    {TensorType::Q4_K, "Q4_K", 256, 144}, {TensorType::Q5_K, "Q5_K", 256, 176},
    {TensorType::Q6_K, "Q6_K", 256, 210}, {TensorType::IQ4_NL, "IQ4_NL", 32, 18},
};

const TypeTraits& traits(TensorType type) {
  for (const TypeTraits& entry : kTypes) {
    if (entry.type == type) return entry;
  }
  std::abort();  // no other value gets past the reader
}

}  // namespace

const char* tensor_type_name(TensorType type) { return traits(type).name; }

std::string tensor_type_names() {
  std::string names;
  constexpr size_t num_types = std::size(kTensorTypes);
  for (size_t i = 0; i < num_types; ++i) {
    names += i == 0 ? "" : (i + 1 == num_types ? " or " : ", ");
    names += tensor_type_name(kTensorTypes[i]);
  }
  return names;
}

size_t tensor_type_block_size(TensorType type) { return traits(type).block_size; }
size_t tensor_type_block_bytes(TensorType type) { return traits(type).block_bytes; }

}  // namespace phonelm
