#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <sys/stat.h>
#include <windows.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "system/files.h"
#include "system/windows_text.h"

namespace phonelm::system {

namespace {

unsigned at_once(size_t num_bytes) { return static_cast<unsigned>(std::min<size_t>(num_bytes, INT_MAX)); }

}  // namespace

// Folders cannot be opened, and "permission denied" would not say so.
int open_file(const std::string& path) {
  const int file = ::_wopen(wide_of(path).c_str(), _O_RDONLY | _O_BINARY | _O_NOINHERIT);
  const int number = errno;
  std::error_code problem;
  errno = file < 0 && std::filesystem::is_directory(path_of(path), problem) ? EISDIR : number;
  return file;
}

int create_file(const std::string& path) {
  return ::_wopen(wide_of(path).c_str(), _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY | _O_NOINHERIT,
                  _S_IREAD | _S_IWRITE);
}

std::optional<FileStatus> status_of(int file) {
  struct _stat64 status{};
  if (::_fstat64(file, &status) != 0) return std::nullopt;
  const bool is_file = (status.st_mode & _S_IFMT) == _S_IFREG;
  return FileStatus{is_file ? FileKind::Regular : FileKind::Other, static_cast<uint64_t>(status.st_size)};
}

int64_t read_some(int file, void* bytes, size_t num_bytes) {
  return ::_read(file, bytes, at_once(num_bytes));
}

int64_t write_some(int file, const void* bytes, size_t num_bytes) {
  return ::_write(file, bytes, at_once(num_bytes));
}

bool flush_file(int file) { return ::_commit(file) == 0; }

bool close_file(int file) { return ::_close(file) == 0; }

void delete_file(const std::string& path) { ::_wunlink(wide_of(path).c_str()); }

bool replace_file(const std::string& from, const std::string& to) {
  if (::MoveFileExW(wide_of(from).c_str(), wide_of(to).c_str(), MOVEFILE_REPLACE_EXISTING)) return true;
  errno = EACCES;
  return false;
}

std::FILE* open_stream(const std::string& path) { return ::_wfopen(wide_of(path).c_str(), L"rb"); }

std::filesystem::path path_of(const std::string& utf8) { return wide_of(utf8); }

std::string utf8_of(const std::filesystem::path& path) { return utf8_of(path.native()); }

int process_number() { return ::_getpid(); }

}  // namespace phonelm::system
