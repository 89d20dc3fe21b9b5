#include "gguf/tensors.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace phonelm {
namespace {

// Names of ggml's other tensor types, for the message that refuses them.
constexpr std::pair<uint32_t, const char*> kOtherTypes[] = {
    {4, "Q4_2"},    {5, "Q4_3"},     {9, "Q8_1"},        {15, "Q8_K"},       {16, "IQ2_XXS"},
    {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"},      {21, "IQ3_S"},      {22, "IQ2_S"},
    {23, "IQ4_XS"}, {24, "I8"},      {25, "I16"},        {26, "I32"},        {27, "I64"},
    {28, "F64"},    {29, "IQ1_M"},   {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},   {33, "Q4_0_8_8"},
    {34, "TQ1_0"},  {35, "TQ2_0"},   {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
    {39, "MXFP4"},  {40, "NVFP4"},   {41, "Q1_0"},
};

std::string other_type_name(uint32_t number) {
  for (const auto& [other, name] : kOtherTypes) {
    if (other == number) return name;
  }
  return "number " + std::to_string(number);
}

TensorType read_type(Cursor& cursor, const std::string& what) {
  const auto number = cursor.read<uint32_t>(what);
  for (const TensorType type : kTensorTypes) {
    if (static_cast<uint32_t>(type) == number) return type;
  }
  cursor.refuse(what + " has the type " + other_type_name(number) +
                ", which is not supported; use a file of " + tensor_type_names() + " tensors");
}

void read_dims(Cursor& cursor, TensorInfo& tensor, const std::string& what) {
  tensor.num_dims = cursor.read<uint32_t>(what);
  if (tensor.num_dims < 1 || tensor.num_dims > tensor.dims.size()) {
    cursor.fail(what + " has " + std::to_string(tensor.num_dims) + " dimensions instead of 1 to 4");
  }
  tensor.dims.fill(1);
  for (size_t i = 0; i < tensor.num_dims; ++i) {
    tensor.dims[i] = cursor.read<uint64_t>(what);
    if (tensor.dims[i] == 0) cursor.fail(what + " has a dimension of 0");
  }
}

size_t checked_num_bytes(const Cursor& cursor, const TensorInfo& tensor, const std::string& what) {
  const size_t block_size = tensor_type_block_size(tensor.type);
  if (tensor.dims[0] % block_size != 0) {
    cursor.fail(what + " has rows of " + std::to_string(tensor.dims[0]) + " elements, not a multiple of " +
                std::to_string(block_size) + " as " + tensor_type_name(tensor.type) + " needs");
  }
  size_t num_bytes = 0;
  bool overflows =
      __builtin_mul_overflow(tensor.dims[0] / block_size, tensor_type_block_bytes(tensor.type), &num_bytes);
  for (size_t i = 1; i < tensor.num_dims; ++i) {
    overflows |= __builtin_mul_overflow(num_bytes, tensor.dims[i], &num_bytes);
  }
  if (overflows) cursor.fail(what + " is larger than any file");
  return num_bytes;
}

std::string name_of(const TensorInfo& tensor) { return "tensor " + quoted(tensor.name); }

}  // namespace

TensorType tensor_type_by_name(std::string_view name) {
  const auto same = [](char a, char b) { return std::toupper(static_cast<unsigned char>(a)) == b; };
  for (const TensorType type : kTensorTypes) {
    const std::string_view known = tensor_type_name(type);
    if (std::equal(name.begin(), name.end(), known.begin(), known.end(), same)) return type;
  }
  throw Error("tensor type " + quoted(name) + " is not known; take " + tensor_type_names());
}

TensorInfo read_tensor_info(Cursor& cursor) {
  TensorInfo tensor{};
  tensor.name = cursor.read_string("a tensor's name");
  if (tensor.name.empty()) cursor.fail("a tensor has no name");
  const std::string what = name_of(tensor);
  read_dims(cursor, tensor, what);
  tensor.type = read_type(cursor, what);
  tensor.num_bytes = checked_num_bytes(cursor, tensor, what);
  tensor.offset = static_cast<size_t>(cursor.read<uint64_t>(what));
  return tensor;
}

void place_tensors(std::vector<TensorInfo>& tensors, std::span<const std::byte> data, size_t data_begin,
                   size_t alignment, const Cursor& cursor) {
  for (TensorInfo& tensor : tensors) {
    if (tensor.offset % alignment != 0) cursor.fail(name_of(tensor) + " is not aligned");
    if (tensor.offset > data.size() || tensor.num_bytes > data.size() - tensor.offset) {
      cursor.fail(name_of(tensor) + " reaches beyond the end of the file");
    }
    tensor.data = data.data() + tensor.offset;
    tensor.offset += data_begin;
  }

  std::vector<const TensorInfo*> by_offset;
  for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
  std::ranges::sort(by_offset, {}, &TensorInfo::offset);
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const TensorInfo& before = *by_offset[i - 1];
    if (by_offset[i]->offset - before.offset < before.num_bytes) {
      cursor.fail(name_of(before) + " and " + name_of(*by_offset[i]) + " overlap");
    }
  }
}

}  // namespace phonelm
