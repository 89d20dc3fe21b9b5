#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/files.h"

namespace phonelm::system {

int open_file(const std::string& path) { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }

int create_file(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

std::optional<FileStatus> status_of(int file) {
  struct stat status{};
  if (::fstat(file, &status) != 0) return std::nullopt;
  const FileKind kind = S_ISREG(status.st_mode)   ? FileKind::Regular
                        : S_ISDIR(status.st_mode) ? FileKind::Folder
                                                  : FileKind::Other;
  return FileStatus{kind, static_cast<uint64_t>(status.st_size)};
}

int64_t read_some(int file, void* bytes, size_t num_bytes) { return ::read(file, bytes, num_bytes); }

int64_t write_some(int file, const void* bytes, size_t num_bytes) { return ::write(file, bytes, num_bytes); }

bool flush_file(int file) { return ::fsync(file) == 0; }

bool close_file(int file) { return ::close(file) == 0; }

void delete_file(const std::string& path) { ::unlink(path.c_str()); }

bool replace_file(const std::string& from, const std::string& to) {
  return ::rename(from.c_str(), to.c_str()) == 0;
}

std::FILE* open_stream(const std::string& path) { return std::fopen(path.c_str(), "rb"); }

std::filesystem::path path_of(const std::string& utf8) { return utf8; }

std::string utf8_of(const std::filesystem::path& path) { return path.native(); }

int process_number() { return ::getpid(); }

}  // namespace phonelm::system
