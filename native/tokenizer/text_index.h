// From texts to ids: a hash table with open addressing, for the lookup of each word of a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace phonelm {

class TextIndex {
 public:
  static constexpr int32_t kNone = -1;

  // Room for so many texts. They are not copied and outlive the index.
  explicit TextIndex(size_t num_texts);
  // The id that the text has already, else kNone and the text has this one. Call at most `num_texts` times.
  int32_t insert(std::string_view text, int32_t id);
  // kNone when absent.
  int32_t find(std::string_view text) const;

 private:
  struct Slot {
    const char* data = nullptr;
    uint32_t size = 0;
    uint32_t tag = 0;  // some of the hash's bits, so that few other texts are compared
    int32_t id = kNone;
  };
  // The text's slot, or the free one it may have.
  size_t slot_of(std::string_view text, uint64_t hash) const;

  std::vector<Slot> slots_;  // a power of two of them, at most half in use
  unsigned shift_;
};

}  // namespace phonelm
