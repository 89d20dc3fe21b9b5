// A whole file in the address space, read only.
#pragma once

#include <cstddef>
#include <string>

namespace phonelm {

class MappedFile {
 public:
  // Throws FileError: not there, not readable. Throws Error: not a regular file.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  // nullptr for an empty file.
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

  // Tells the system that nothing before `end` is needed for now; what is read again all the same comes from
  // the file again.
  void release_pages_up_to(size_t end) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace phonelm
