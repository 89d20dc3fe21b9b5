#include "gguf/part.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_set>

#include "gguf/cursor.h"
#include "gguf/tensors.h"

namespace phonelm {
namespace {

constexpr const char* kAlignmentKey = "general.alignment";
constexpr size_t kDefaultAlignment = 32;

// Magic and version, before anything else is trusted.
void read_preamble(Cursor& cursor) {
  constexpr std::string_view kMagic = "GGUF";
  if (cursor.remaining() == 0) cursor.refuse("the file is empty; get it again");
  const std::string_view magic = cursor.peek(kMagic.size());
  if (magic != kMagic) {
    cursor.refuse("not a GGUF file (it begins with " + quoted(magic) +
                  "); give a .gguf file, or quantize the checkpoint to one");
  }
  cursor.read<std::array<char, kMagic.size()>>("the magic");
  const auto version = cursor.read<uint32_t>("the version");
  if ((version & 0xFFFF) == 0 && version != 0) {
    cursor.refuse("big-endian GGUF is not supported; convert it with gguf-convert-endian");
  }
  if (version != 2 && version != 3) {
    cursor.refuse("GGUF version " + std::to_string(version) +
                  " is not supported (2 and 3 are); convert the model again");
  }
}

std::vector<TensorInfo> read_tensor_infos(Cursor& cursor, size_t num_tensors) {
  std::vector<TensorInfo> tensors;
  tensors.reserve(num_tensors);
  std::unordered_set<std::string> names;
  for (size_t i = 0; i < num_tensors; ++i) {
    tensors.push_back(read_tensor_info(cursor));
    const std::string& name = tensors.back().name;
    if (!names.insert(name).second) cursor.fail("tensor " + quoted(name) + " is there twice");
  }
  return tensors;
}

size_t checked_alignment(const Metadata& metadata, const std::string& path, const Cursor& cursor) {
  constexpr int64_t kMaxAlignment = 1 << 20;
  const int64_t alignment = find_integer(metadata, kAlignmentKey, path).value_or(kDefaultAlignment);
  if (alignment < 1 || alignment > kMaxAlignment || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    cursor.fail(std::string(kAlignmentKey) + " is " + std::to_string(alignment) +
                ", not a power of two up to 2^20");
  }
  return static_cast<size_t>(alignment);
}

}  // namespace

GgufPart::GgufPart(const std::string& path) : file_(path) {
  const size_t size = file_.size();
  Cursor cursor(file_.data(), size, file_.path());
  read_preamble(cursor);
  const auto claimed_tensors = cursor.read<uint64_t>("the number of tensors");
  const size_t num_keys = cursor.read_count(kMinMetadataBytes, "the number of metadata keys");
  if (claimed_tensors > cursor.remaining() / kMinTensorBytes) {
    cursor.fail("the number of tensors (" + std::to_string(claimed_tensors) +
                ") is more than the file holds");
  }
  metadata_ = read_metadata(cursor, num_keys);
  tensors_ = read_tensor_infos(cursor, static_cast<size_t>(claimed_tensors));

  const size_t alignment = checked_alignment(metadata_, file_.path(), cursor);
  const size_t data_begin = std::min((cursor.position() + alignment - 1) / alignment * alignment, size);
  place_tensors(tensors_, {file_.data() + data_begin, size - data_begin}, data_begin, alignment, cursor);
}

std::span<const std::byte> GgufPart::header() const {
  size_t end = file_.size();
  for (const TensorInfo& tensor : tensors_) end = std::min(end, tensor.offset);
  return {file_.data(), end};
}

}  // namespace phonelm
