// Files that are written whole or not at all, and files that are read to an exact size.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace phonelm {

// Writes to a temporary name beside `path`; `commit` gives it its own. Without it nothing stays. Links stay,
// and the file they lead to is replaced. Throws FileError, naming `path`, and Error for a device or a pipe.
class FileWriter {
 public:
  explicit FileWriter(const std::string& path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  void commit();

 private:
  [[noreturn]] void fail() const;

  std::string path_;
  std::string place_;  // without links
  std::string temporary_;
  int descriptor_ = -1;
};

// Throws FileError: not there, not readable. Throws Error: not a regular file.
class FileReader {
 public:
  explicit FileReader(const std::string& path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  size_t size_bytes() const { return size_; }
  // False when the file ends before.
  bool read(std::span<std::byte> bytes);

 private:
  std::string path_;
  int descriptor_ = -1;
  size_t size_ = 0;
};

}  // namespace phonelm
