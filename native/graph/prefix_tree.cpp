#include "graph/prefix_tree.h"

#include <algorithm>
#include <numeric>

namespace phonelm {

PrefixTree::PrefixTree(std::span<const Sequence> sequences)
    : sequences_(sequences), order_(sequences.size()) {
  std::iota(order_.begin(), order_.end(), 0);
  std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) {
    const Sequence& one = sequences[static_cast<size_t>(a)];
    const Sequence& other = sequences[static_cast<size_t>(b)];
    if (one.group != other.group) return one.group < other.group;
    return std::ranges::lexicographical_compare(one.tokens, other.tokens);
  });
  add_children(-1, 0, 0, 0, static_cast<int>(order_.size()));
}

const PrefixTree::Sequence& PrefixTree::sequence(int place) const {
  return sequences_[static_cast<size_t>(order_[static_cast<size_t>(place)])];
}

int PrefixTree::num_shared(int a, int b) const {
  if (sequence(a).group != sequence(b).group) return 0;
  const auto& one = sequence(a).tokens;
  return static_cast<int>(std::ranges::mismatch(one, sequence(b).tokens).in1 - one.begin());
}

int PrefixTree::end_of_run(int begin, int first, int last) const {
  int end = first + 1;
  while (end < last && num_shared(first, end) >= begin + kMinShared) ++end;
  return end;
}

void PrefixTree::add_children(int parent, int depth, int begin, int first, int last) {
  while (first < last) {
    const int end = end_of_run(begin, first, last);
    const int shared = end == first + 1 ? num_tokens(first) : num_shared(first, end - 1);
    if (shared > begin) {
      const int node = static_cast<int>(nodes_.size());
      nodes_.push_back({parent, depth, begin, shared, first, end, node + 1});
      if (end > first + 1) add_children(node, depth + 1, shared, first, end);
      nodes_[static_cast<size_t>(node)].end_of_subtree = static_cast<int>(nodes_.size());
    }
    first = end;
  }
}

}  // namespace phonelm
