// Byte pair encoding: the merge table and its application to one word. Algorithm: Sennrich et al. 2016
// (https://arxiv.org/abs/1508.07909): the neighbours of the lowest rank are merged first, the leftmost of
// equals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace phonelm {

struct Merge {
  uint32_t rank;
  int32_t token;
};

// Hash table of token pairs with open addressing.
class MergeTable {
 public:
  explicit MergeTable(size_t num_merges);
  // False when the pair is there already. Call at most `num_merges` times.
  bool insert(int32_t left, int32_t right, Merge merge);
  // nullptr when the two do not merge.
  const Merge* find(int32_t left, int32_t right) const;

  // Merges `tokens` in place as far as the table allows: in O(n log n) steps, quadratic only for short words.
  void apply(std::vector<int32_t>& tokens) const;

 private:
  struct Slot {
    uint64_t pair = kEmpty;
    Merge merge{};
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};

  size_t slot_of(uint64_t pair) const;
  void apply_short(std::vector<int32_t>& tokens) const;
  void apply_long(std::vector<int32_t>& tokens) const;

  std::vector<Slot> slots_;  // a power of two of them, at most half in use
  unsigned shift_;
};

}  // namespace phonelm
