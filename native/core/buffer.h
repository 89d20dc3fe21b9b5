// Zeroed memory straight from the system: aligned to pages, resident only once touched.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "core/error.h"
#include "system/memory.h"

namespace phonelm {

// Huge pages suit what is streamed whole again and again (weights: small pages cost a TLB miss every 4 KiB),
// small ones what is filled little by little (a KV cache: a huge page would be resident from its first token
// on).
enum class Pages { Small, Huge };

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t num_bytes, Pages pages = Pages::Small) : size_(num_bytes) {
    if (num_bytes == 0) return;
    void* memory = system::get_pages(num_bytes, pages == Pages::Huge);
    if (memory == nullptr) {
      throw Error("cannot get " + std::to_string(num_bytes >> 20) +
                  " MiB of memory; use a smaller model or context");
    }
    data_ = static_cast<std::byte*>(memory);
  }
  ~Buffer() {
    if (data_) system::free_pages(data_, size_);
  }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

inline constexpr size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace phonelm
