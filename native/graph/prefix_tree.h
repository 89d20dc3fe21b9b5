// Token sequences as a tree: what several of them begin with is one node, so that it is computed once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace phonelm {

class PrefixTree {
 public:
  struct Sequence {
    std::span<const int32_t> tokens;
    int group = 0;  // sequences of other groups share nothing
  };
  // The tokens [begin, end) of the sequences `order()[first, last)`; the nodes from a parent to the root hold
  // the tokens before.
  struct Node {
    int parent;  // -1 for a root
    int depth;
    int begin;
    int end;
    int first;
    int last;
    int end_of_subtree;  // the node after its last descendant
  };
  // A shared run shorter than this is not worth a node.
  static constexpr int kMinShared = 8;

  explicit PrefixTree(std::span<const Sequence> sequences);

  // The sequences, sorted by tokens.
  const std::vector<int>& order() const { return order_; }
  // Parents before children, and all descendants of a node right behind it.
  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  const Sequence& sequence(int place) const;
  int num_tokens(int place) const { return static_cast<int>(sequence(place).tokens.size()); }
  int num_shared(int a, int b) const;
  // The nodes of the sequences [first, last), which share `begin` tokens, under `parent`.
  void add_children(int parent, int depth, int begin, int first, int last);
  // The end of the run of sequences from `first` on that share enough beyond `begin`.
  int end_of_run(int begin, int first, int last) const;

  std::span<const Sequence> sequences_;
  std::vector<int> order_;
  std::vector<Node> nodes_;
};

}  // namespace phonelm
