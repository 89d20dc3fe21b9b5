// A 64-bit checksum of bytes, 8 at a time. Each step is a bijection of the state, so that a change within one
// word always shows, and any other but for a chance of 2^-64; it is no defence against forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace phonelm {

class Checksum {
 public:
  // Pieces are hashed one by one: the same bytes cut elsewhere give another sum.
  void add(std::span<const std::byte> bytes) {
    size_t at = 0;
    for (; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t))
      mix(bytes.data() + at, sizeof(uint64_t));
    mix(bytes.data() + at, bytes.size() - at);
    state_ = step(state_, bytes.size());
  }
  uint64_t value() const { return state_; }

 private:
  // The finalizer of MurmurHash3 in half.
  static uint64_t step(uint64_t state, uint64_t word) {
    state = (state ^ word) * 0xff51afd7ed558ccdULL;
    return state ^ (state >> 32);
  }
  void mix(const std::byte* data, size_t size) {
    uint64_t word = 0;
    if (size > 0) std::memcpy(&word, data, size);
    state_ = step(state_, word);
  }

  uint64_t state_ = 0x9e3779b97f4a7c15ULL;
};

}  // namespace phonelm
