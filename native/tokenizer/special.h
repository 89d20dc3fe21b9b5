// Finds the texts of special tokens in a text: a trie, so that the time does not grow with their number.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace phonelm {

class SpecialMatcher {
 public:
  // `text` is not empty.
  void add(std::string_view text, int32_t token);

  struct Match {
    size_t begin;
    size_t length;  // 0: no match, and `begin` is the text's end
    int32_t token;
  };
  // The leftmost match at or after `pos`, the longest of those that begin there.
  Match find(std::string_view text, size_t pos) const;
  // The longest match that begins at `begin`; its length is 0 where there is none.
  Match match_at(std::string_view text, size_t begin) const;

 private:
  static uint64_t edge(size_t node, char c) { return uint64_t{node} << 8 | static_cast<uint8_t>(c); }

  std::array<bool, 256> is_first_byte_{};
  std::unordered_map<uint64_t, size_t> edges_;  // (node, byte) -> node
  std::vector<int32_t> token_of_node_ = {-1};   // node 0 is the root; -1: no token ends here
};

}  // namespace phonelm
