// The one error type of the core. It is a user's mistake or a broken file, said in one line with what to do;
// our own mistakes are asserts. The bindings turn it into Python's ValueError.
#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

namespace phonelm {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file that the system would not give us: not there, no permission, disk full. Python sees the OSError of
// that errno.
class FileError : public std::system_error {
 public:
  FileError(int error_number, const std::string& path)
      : std::system_error(error_number, std::generic_category(), path), path_(path) {}
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace phonelm
