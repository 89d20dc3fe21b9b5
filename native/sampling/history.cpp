#include "sampling/history.h"

namespace phonelm {

History::Match History::longest_match() const {
  Match best{0, 0};
  const int size = static_cast<int>(tokens_.size());
  if (size == 0) return best;
  const int32_t* end = tokens_.data() + size;
  for (int next = size - 1; next > 0 && best.length < kMaxMatch; --next) {
    const int32_t* candidate = tokens_.data() + next;
    const int most = next < kMaxMatch ? next : kMaxMatch;
    int length = 0;
    while (length < most && candidate[-1 - length] == end[-1 - length]) ++length;
    if (length > best.length) best = {next, length};
  }
  return best;
}

std::vector<int32_t> History::followers(const Match& match, int count) const {
  std::vector<int32_t> found;
  const int available = static_cast<int>(tokens_.size()) - match.next;
  for (int i = 0; i < count; ++i) {
    found.push_back(i < available ? (*this)[match.next + i] : found[static_cast<size_t>(i - available)]);
  }
  return found;
}

}  // namespace phonelm
