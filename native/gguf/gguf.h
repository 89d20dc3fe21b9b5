// Reader of GGUF models (version 2 and 3, little endian) in one file or several, memory-mapped. Format:
// ggml/include/gguf.h of llama.cpp. Every count, offset, size and type is checked against its file before it
// is used, so that no file can make the reader touch a byte outside the map or allocate more than the file's
// size justifies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "gguf/metadata.h"

namespace phonelm {

// Numbers as in ggml's `enum ggml_type`.
enum class TensorType : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ4_NL = 20,
  BF16 = 30
};

// All of them, in the order in which messages name them.
inline constexpr TensorType kTensorTypes[] = {
    TensorType::F32,  TensorType::F16,  TensorType::BF16, TensorType::Q4_0,  TensorType::Q4_1,
    TensorType::Q5_0, TensorType::Q5_1, TensorType::Q8_0, TensorType::Q2_K,  TensorType::Q3_K,
    TensorType::Q4_K, TensorType::Q5_K, TensorType::Q6_K, TensorType::IQ4_NL};

const char* tensor_type_name(TensorType type);
// By its name, in capitals or small letters. Throws Error.
TensorType tensor_type_by_name(std::string_view name);
// "F32, F16, ... or IQ4_NL", for messages.
std::string tensor_type_names();
// Elements in a block and bytes of a block.
size_t tensor_type_block_size(TensorType type);
size_t tensor_type_block_bytes(TensorType type);

struct TensorInfo {
  std::string name;
  TensorType type;
  // dims[0] is the contiguous one (columns of a matrix), dims[1] the rows.
  std::array<uint64_t, 4> dims;  // 1 beyond num_dims
  uint32_t num_dims;
  const std::byte* data;
  size_t num_bytes;
  size_t offset;  // of the data, from the beginning of its file
  size_t part;    // which of the model's files that is
};

class GgufPart;

class GgufFile {
 public:
  // A model in several files is opened by any of them. Throws FileError: not there, not readable. Throws
  // Error: truncated, corrupt, unknown version or tensor type, parts that are missing or of different models.
  static std::shared_ptr<GgufFile> open(const std::string& path);
  ~GgufFile();
  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(const GgufFile&) = delete;

  // Of the first file, which has the metadata.
  const std::string& path() const;
  // Of all files.
  size_t size_bytes() const;
  // Of the first file, what precedes the tensors' data.
  std::span<const std::byte> header() const;

  const Metadata& metadata() const;
  // Typed lookups: nullopt / nullptr when absent; Error (naming the key) when of another kind.
  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_float(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  const std::string* get_string(std::string_view key) const;
  const std::vector<std::string>* get_strings(std::string_view key) const;
  const std::vector<int64_t>* get_ints(std::string_view key) const;
  const std::vector<double>* get_floats(std::string_view key) const;

  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // nullptr when absent.
  const TensorInfo* find_tensor(std::string_view name) const;

  // Tells the system that nothing before the end of this tensor in its file is needed for now; what is read
  // again all the same comes from the file again.
  void release_pages_up_to(const TensorInfo& tensor) const;

 private:
  explicit GgufFile(std::vector<std::unique_ptr<GgufPart>> parts);
  template <class T>
  const T* get(std::string_view key, const char* kind) const {
    return find_value<T>(metadata(), key, kind, path());
  }

  std::vector<std::unique_ptr<GgufPart>> parts_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> tensor_index_;
};

}  // namespace phonelm
