#include "gguf/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/buffer.h"
#include "core/error.h"
#include "core/printable.h"

namespace phonelm {
namespace {

// Closes the descriptor; a map outlives it.
class Descriptor {
 public:
  // O_NONBLOCK: a named pipe is refused below instead of waited for.
  explicit Descriptor(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (number_ < 0) throw FileError(errno, path);
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor descriptor(path_);
  struct stat status{};
  if (::fstat(descriptor.number(), &status) != 0) throw FileError(errno, path_);
  if (S_ISDIR(status.st_mode)) {
    throw Error(printable(path_) + ": is a folder, not a GGUF file; give the .gguf file in it");
  }
  if (!S_ISREG(status.st_mode))
    throw Error(printable(path_) + ": is not a regular file; copy it to one first");
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;  // an empty map is an error of its own; the reader says what is wrong
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor.number(), 0);
  if (map == MAP_FAILED) throw FileError(errno, path_);
  data_ = static_cast<const std::byte*>(map);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release_pages_up_to(size_t end) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  ::madvise(const_cast<std::byte*>(data_), round_up(end, page), MADV_DONTNEED);
}

}  // namespace phonelm
