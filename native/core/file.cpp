#include "core/file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/printable.h"
#include "system/files.h"

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
  const fs::file_status status = fs::status(system::path_of(path), problem);
  if (fs::is_directory(status)) throw FileError(EISDIR, path);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw Error(printable(path) + ": is a device or a pipe; give the path of a file");
  fs::path place = system::path_of(path);
  for (int num_links = 0; fs::is_symlink(fs::symlink_status(place, problem)); ++num_links) {
    if (num_links == kMaxLinks) throw FileError(ELOOP, path);
    const fs::path next = fs::read_symlink(place, problem);
    if (problem) throw FileError(problem.value(), path);
    place = place.parent_path() / next;
  }
  return system::utf8_of(place);
}
}  // namespace

FileWriter::FileWriter(const std::string& path)
    : path_(path),
      place_(replaceable(path)),
      temporary_(place_ + "." + std::to_string(system::process_number()) + "-" +
                 std::to_string(next_number()) + ".part"),
      descriptor_(system::create_file(temporary_)) {
  if (descriptor_ < 0) fail();
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) system::close_file(descriptor_);
  if (!temporary_.empty()) system::delete_file(temporary_);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const int64_t count = system::write_some(descriptor_, bytes.data(), std::min(bytes.size(), kMaxAtOnce));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail();
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void FileWriter::commit() {
  if (!system::flush_file(descriptor_)) fail();
  const int descriptor = std::exchange(descriptor_, -1);
  if (!system::close_file(descriptor) || !system::replace_file(temporary_, place_)) fail();
  temporary_.clear();
}

void FileWriter::fail() const { throw FileError(errno, path_); }

FileReader::FileReader(const std::string& path) : path_(path), descriptor_(system::open_file(path)) {
  if (descriptor_ < 0) throw FileError(errno, path_);
  const auto status = system::status_of(descriptor_);
  const int number = errno;
  if (status && status->kind == system::FileKind::Regular) {
    size_ = static_cast<size_t>(status->num_bytes);
    return;
  }
  system::close_file(descriptor_);
  if (!status) throw FileError(number, path_);
  throw Error(printable(path_) + ": is not a regular file; give the file's own path");
}

FileReader::~FileReader() { system::close_file(descriptor_); }

bool FileReader::read(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const int64_t count = system::read_some(descriptor_, bytes.data(), std::min(bytes.size(), kMaxAtOnce));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw FileError(errno, path_);
    if (count == 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace phonelm
