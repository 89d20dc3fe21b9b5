#include "tokenizer/merges.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <queue>
#include <tuple>

namespace phonelm {
namespace {

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();
// Up to here, looking through all neighbours for the lowest rank beats the priority queue.
constexpr size_t kShortWord = 48;

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// A token of a long word, in a doubly linked list by index.
struct Symbol {
  int32_t token;
  size_t previous;
  size_t next;
};
constexpr size_t kNone = std::numeric_limits<size_t>::max();
constexpr int32_t kMergedAway = -1;

struct Candidate {
  uint32_t rank;
  size_t left;
  bool operator>(const Candidate& other) const {
    return std::tie(rank, left) > std::tie(other.rank, other.left);
  }
};
using Queue = std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>>;

}  // namespace

MergeTable::MergeTable(size_t num_merges)
    : slots_(std::bit_ceil(2 * num_merges + 2)),
      shift_(64 - static_cast<unsigned>(std::countr_zero(slots_.size()))) {}

// Fibonacci hashing, then the next free slots.
size_t MergeTable::slot_of(uint64_t pair) const {
  size_t slot = (pair ^ pair >> 29) * 0x9E3779B97F4A7C15u >> shift_;
  while (slots_[slot].pair != pair && slots_[slot].pair != kEmpty) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

bool MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  Slot& slot = slots_[slot_of(pair_of(left, right))];
  if (slot.pair != kEmpty) return false;
  slot = {pair_of(left, right), merge};
  return true;
}

const Merge* MergeTable::find(int32_t left, int32_t right) const {
  const Slot& slot = slots_[slot_of(pair_of(left, right))];
  return slot.pair == kEmpty ? nullptr : &slot.merge;
}

void MergeTable::apply(std::vector<int32_t>& tokens) const {
  if (tokens.size() < 2) return;
  tokens.size() <= kShortWord ? apply_short(tokens) : apply_long(tokens);
}

void MergeTable::apply_short(std::vector<int32_t>& tokens) const {
  Merge merges[kShortWord];  // merges[i]: of tokens i and i + 1
  const auto look_up = [&](size_t i) {
    const Merge* merge = find(tokens[i], tokens[i + 1]);
    return merge != nullptr ? *merge : Merge{kNoRank, kMergedAway};
  };
  size_t num_pairs = tokens.size() - 1;
  for (size_t i = 0; i < num_pairs; ++i) merges[i] = look_up(i);
  while (num_pairs > 0) {
    size_t best = 0;
    for (size_t i = 1; i < num_pairs; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNoRank) break;
    tokens[best] = merges[best].token;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(merges + best + 1, merges + num_pairs, merges + best);
    --num_pairs;
    if (best < num_pairs) merges[best] = look_up(best);
    if (best > 0) merges[best - 1] = look_up(best - 1);
  }
}

void MergeTable::apply_long(std::vector<int32_t>& tokens) const {
  std::vector<Symbol> symbols(tokens.size());
  Queue queue;
  const auto find_at = [&](size_t left) -> const Merge* {
    if (left == kNone || symbols[left].token == kMergedAway || symbols[left].next == kNone) return nullptr;
    return find(symbols[left].token, symbols[symbols[left].next].token);
  };
  const auto push = [&](size_t left) {
    if (const Merge* merge = find_at(left)) queue.push({merge->rank, left});
  };

  for (size_t i = 0; i < tokens.size(); ++i) {
    symbols[i] = {tokens[i], i == 0 ? kNone : i - 1, i + 1 == tokens.size() ? kNone : i + 1};
  }
  for (size_t i = 0; i < tokens.size(); ++i) push(i);
  while (!queue.empty()) {
    const Candidate candidate = queue.top();
    queue.pop();
    const Merge* merge = find_at(candidate.left);
    // An entry whose neighbours have changed since is stale: their present pair has an entry of its own.
    if (merge == nullptr || merge->rank != candidate.rank) continue;
    Symbol& left = symbols[candidate.left];
    Symbol& right = symbols[left.next];
    left.token = merge->token;
    right.token = kMergedAway;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = candidate.left;
    push(left.previous);
    push(candidate.left);
  }

  tokens.clear();
  for (size_t i = 0; i != kNone; i = symbols[i].next) tokens.push_back(symbols[i].token);
}

}  // namespace phonelm
