#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/printable.h"

namespace phonelm {

namespace {
// Some systems take no more than 2^31 bytes at once.
constexpr size_t kMaxAtOnce = size_t{1} << 30;

// Two threads may write the same file: the last one to finish wins.
unsigned next_number() {
  static std::atomic<unsigned> number{0};
  return number.fetch_add(1);
}

// As many as Linux follows.
constexpr int kMaxLinks = 40;

// What stands at the end of the path's links, so that they stay; it need not exist. Throws FileError for
// links in a circle and for a folder, Error for a device or a pipe, whose place a new file would take.
std::string replaceable(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code problem;
  const fs::file_status status = fs::status(path, problem);
  if (fs::is_directory(status)) throw FileError(EISDIR, path);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw Error(printable(path) + ": is a device or a pipe; give the path of a file");
  fs::path place(path);
  for (int num_links = 0; fs::is_symlink(fs::symlink_status(place, problem)); ++num_links) {
    if (num_links == kMaxLinks) throw FileError(ELOOP, path);
    const fs::path next = fs::read_symlink(place, problem);
    if (problem) throw FileError(problem.value(), path);
    place = place.parent_path() / next;
  }
  return place.string();
}
}  // namespace

FileWriter::FileWriter(const std::string& path)
    : path_(path),
      place_(replaceable(path)),
      temporary_(place_ + "." + std::to_string(::getpid()) + "-" + std::to_string(next_number()) + ".part"),
      descriptor_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) fail();
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kMaxAtOnce));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail();
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void FileWriter::commit() {
  if (::fsync(descriptor_) != 0) fail();
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0 || ::rename(temporary_.c_str(), place_.c_str()) != 0) fail();
  temporary_.clear();
}

void FileWriter::fail() const { throw FileError(errno, path_); }

// O_NONBLOCK: a named pipe is refused below instead of waited for.
FileReader::FileReader(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw FileError(errno, path_);
  struct stat status{};
  const bool is_known = ::fstat(descriptor_, &status) == 0;
  const int number = errno;
  if (is_known && S_ISREG(status.st_mode)) {
    size_ = static_cast<size_t>(status.st_size);
    return;
  }
  ::close(descriptor_);
  if (!is_known) throw FileError(number, path_);
  throw Error(printable(path_) + ": is not a regular file; give the file's own path");
}

FileReader::~FileReader() { ::close(descriptor_); }

bool FileReader::read(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::read(descriptor_, bytes.data(), std::min(bytes.size(), kMaxAtOnce));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw FileError(errno, path_);
    if (count == 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace phonelm
