#include "gguf/gguf.h"

#include <utility>

#include "core/printable.h"
#include "gguf/part.h"
#include "gguf/split.h"

namespace phonelm {

std::shared_ptr<GgufFile> GgufFile::open(const std::string& path) {
  return std::shared_ptr<GgufFile>(new GgufFile(open_parts(path)));
}

GgufFile::GgufFile(std::vector<std::unique_ptr<GgufPart>> parts) : parts_(std::move(parts)) {
  for (size_t number = 0; number < parts_.size(); ++number) {
    for (const TensorInfo& tensor : parts_[number]->tensors()) {
      const auto [place, is_new] = tensor_index_.try_emplace(tensor.name, tensors_.size());
      if (!is_new) {
        throw Error(printable(parts_[number]->path()) + ": tensor " + quoted(place->first) +
                    " is in another part of the split model too; get the parts again");
      }
      tensors_.push_back(tensor);
      tensors_.back().part = number;
    }
  }
}

GgufFile::~GgufFile() = default;

const std::string& GgufFile::path() const { return parts_.front()->path(); }

size_t GgufFile::size_bytes() const {
  size_t size = 0;
  for (const auto& part : parts_) size += part->size_bytes();
  return size;
}

std::span<const std::byte> GgufFile::header() const { return parts_.front()->header(); }

const Metadata& GgufFile::metadata() const { return parts_.front()->metadata(); }

std::optional<int64_t> GgufFile::get_int(std::string_view key) const {
  return find_integer(metadata(), key, path());
}

std::optional<double> GgufFile::get_float(std::string_view key) const {
  const auto* value = get<double>(key, "a floating-point number");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<bool> GgufFile::get_bool(std::string_view key) const {
  const auto* value = get<bool>(key, "a boolean");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

const std::string* GgufFile::get_string(std::string_view key) const {
  return get<std::string>(key, "a string");
}

const std::vector<std::string>* GgufFile::get_strings(std::string_view key) const {
  return get<std::vector<std::string>>(key, "an array of strings");
}

const std::vector<int64_t>* GgufFile::get_ints(std::string_view key) const {
  return get<std::vector<int64_t>>(key, "an array of integers");
}

const std::vector<double>* GgufFile::get_floats(std::string_view key) const {
  return get<std::vector<double>>(key, "an array of floating-point numbers");
}

const TensorInfo* GgufFile::find_tensor(std::string_view name) const {
  const auto place = tensor_index_.find(std::string(name));
  return place == tensor_index_.end() ? nullptr : &tensors_[place->second];
}

void GgufFile::release_pages_up_to(const TensorInfo& tensor) const {
  parts_[tensor.part]->release_pages_up_to(tensor.offset + tensor.num_bytes);
}

}  // namespace phonelm
