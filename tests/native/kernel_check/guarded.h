// An array of exactly so many elements that ends where a page begins that nobody may touch: a kernel that
// reads or writes past it dies, with any compiler and under an emulator.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <new>
#include <utility>

namespace phonelm {

template <typename T>
class Guarded {
 public:
  explicit Guarded(size_t size) : size_(size) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    usable_ = (size * sizeof(T) + page - 1) / page * page;
    num_bytes_ = usable_ + page;
    void* memory = mmap(nullptr, num_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<std::byte*>(memory);
    mprotect(memory_ + usable_, page, PROT_NONE);
  }
  ~Guarded() {
    if (memory_) munmap(memory_, num_bytes_);
  }
  Guarded(Guarded&& other) noexcept
      : size_(other.size_),
        usable_(other.usable_),
        num_bytes_(other.num_bytes_),
        memory_(std::exchange(other.memory_, nullptr)) {}

  T* data() const { return reinterpret_cast<T*>(memory_ + usable_ - size_ * sizeof(T)); }
  T* begin() const { return data(); }
  T* end() const { return data() + size_; }
  T& operator[](size_t index) const { return data()[index]; }
  size_t size() const { return size_; }

 private:
  size_t size_;
  size_t usable_ = 0;
  size_t num_bytes_ = 0;
  std::byte* memory_ = nullptr;
};

}  // namespace phonelm
