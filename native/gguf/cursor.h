// Reads little-endian values from bytes and never past their end.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/printable.h"

namespace phonelm {

static_assert(std::endian::native == std::endian::little, "GGUF values are read in place");

class Cursor {
 public:
  // `path` and the bytes stay with the caller and outlive the cursor.
  Cursor(const std::byte* data, size_t size, const std::string& path)
      : data_(data), size_(size), path_(path) {}

  size_t position() const { return position_; }
  size_t remaining() const { return size_ - position_; }

  // The next bytes without reading them, fewer at the end.
  std::string_view peek(size_t num_bytes) const {
    return {reinterpret_cast<const char*>(data_ + position_), std::min(num_bytes, remaining())};
  }

  // `what` names the value in the message of the Error when it is not whole in the file.
  template <class T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }

  std::string read_string(std::string_view what) {
    const size_t length = read_count(1, what);
    return {reinterpret_cast<const char*>(take(length, what)), length};
  }

  // A number of things to follow, each at least `min_bytes` long: more than the file can hold is an Error, so
  // that the number can be trusted for an allocation.
  size_t read_count(size_t min_bytes, std::string_view what) {
    const auto count = read<uint64_t>(what);
    if (count > remaining() / min_bytes) {
      fail(std::string(what) + " claims more (" + std::to_string(count) + ") than the file holds");
    }
    return static_cast<size_t>(count);
  }

  // For a value that no sound file has.
  [[noreturn]] void fail(const std::string& problem) const {
    refuse(problem + "; the file is truncated or damaged, get it again");
  }
  // For a sound file that is not supported; `problem` says what to do.
  [[noreturn]] void refuse(const std::string& problem) const {
    throw Error(printable(path_) + ": " + problem);
  }

 private:
  const std::byte* take(size_t num_bytes, std::string_view what) {
    if (num_bytes > remaining()) {
      fail("the file ends within " + std::string(what) + " (byte " + std::to_string(position_) + " of " +
           std::to_string(size_) + ")");
    }
    const std::byte* bytes = data_ + position_;
    position_ += num_bytes;
    return bytes;
  }

  const std::byte* data_;
  size_t size_;
  size_t position_ = 0;
  const std::string& path_;
};

}  // namespace phonelm
