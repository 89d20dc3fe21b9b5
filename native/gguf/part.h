// One GGUF file: a whole model, or one part of a model in several files (split.h).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "gguf/mapped_file.h"
#include "gguf/metadata.h"

namespace phonelm {

class GgufPart {
 public:
  // Throws as `GgufFile::open` does.
  explicit GgufPart(const std::string& path);

  const std::string& path() const { return file_.path(); }
  size_t size_bytes() const { return file_.size(); }
  // What precedes the tensors' data.
  std::span<const std::byte> header() const;
  const Metadata& metadata() const { return metadata_; }
  // In the file's order; no two have the same name.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  void release_pages_up_to(size_t end) const { file_.release_pages_up_to(end); }

 private:
  MappedFile file_;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace phonelm
