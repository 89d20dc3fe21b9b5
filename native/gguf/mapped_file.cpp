#include "gguf/mapped_file.h"

#include <cerrno>

#include "core/error.h"
#include "core/printable.h"
#include "system/files.h"
#include "system/memory.h"

namespace phonelm {
namespace {

// Closes the descriptor; a map outlives it.
class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : number_(system::open_file(path)) {
    if (number_ < 0) throw FileError(errno, path);
  }
  ~Descriptor() { system::close_file(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor descriptor(path_);
  const auto status = system::status_of(descriptor.number());
  if (!status) throw FileError(errno, path_);
  if (status->kind == system::FileKind::Folder) {
    throw Error(printable(path_) + ": is a folder, not a GGUF file; give the .gguf file in it");
  }
  if (status->kind != system::FileKind::Regular)
    throw Error(printable(path_) + ": is not a regular file; copy it to one first");
  size_ = static_cast<size_t>(status->num_bytes);
  if (size_ == 0) return;  // an empty map is an error of its own; the reader says what is wrong
  data_ = static_cast<const std::byte*>(system::map_file(descriptor.number(), size_));
  if (data_ == nullptr) throw FileError(errno, path_);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) system::unmap_file(data_, size_);
}

void MappedFile::release_pages_up_to(size_t end) const { system::forget_pages(data_, end); }

}  // namespace phonelm
