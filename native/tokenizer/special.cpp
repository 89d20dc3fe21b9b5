#include "tokenizer/special.h"

namespace phonelm {

void SpecialMatcher::add(std::string_view text, int32_t token) {
  is_first_byte_[static_cast<uint8_t>(text.front())] = true;
  size_t node = 0;
  for (const char c : text) {
    const auto [place, is_new] = edges_.try_emplace(edge(node, c), token_of_node_.size());
    if (is_new) token_of_node_.push_back(-1);
    node = place->second;
  }
  token_of_node_[node] = token;
}

SpecialMatcher::Match SpecialMatcher::match_at(std::string_view text, size_t begin) const {
  Match longest{begin, 0, -1};
  if (begin >= text.size() || !is_first_byte_[static_cast<uint8_t>(text[begin])]) return longest;
  size_t node = 0;
  for (size_t pos = begin; pos < text.size(); ++pos) {
    const auto next = edges_.find(edge(node, text[pos]));
    if (next == edges_.end()) break;
    node = next->second;
    if (token_of_node_[node] >= 0) longest = {begin, pos + 1 - begin, token_of_node_[node]};
  }
  return longest;
}

SpecialMatcher::Match SpecialMatcher::find(std::string_view text, size_t pos) const {
  for (; pos < text.size(); ++pos) {
    if (const Match match = match_at(text, pos); match.length > 0) return match;
  }
  return {text.size(), 0, -1};
}

}  // namespace phonelm
