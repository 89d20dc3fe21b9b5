// Which sequence each token of a chunk belongs to. A chunk may hold tokens of one sequence (a session's) or
// runs of several that share nothing but the pass through the weights.
#pragma once

#include <span>
#include <vector>

#include "graph/kv_cache.h"

namespace phonelm {

// A run of a sequence's tokens. The sequence's keys and values lie in a cache from a slot on, which is a
// multiple of KvCache::kBlock; or block by block wherever `blocks` says, so that sequences can share some.
struct Segment {
  const KvCache* cache;
  int slot;
  int position;  // in the sequence, of the run's first token
  int num_tokens;
  // The sequence may grow beyond the model's original context (see Rope).
  bool is_long = false;
  // Tokens that have left the sequence: position embeddings count them.
  int64_t num_dropped = 0;
  // The first slot of each block of KvCache::kBlock positions; null where they follow each other. Must
  // outlive the pass.
  const int32_t* blocks = nullptr;
};

class Plan {
 public:
  // Of one token of the chunk.
  struct Place {
    const KvCache* cache;
    int first_slot;  // of its sequence
    int position;
    bool is_long;
    int64_t num_dropped;
    const int32_t* blocks;
    int64_t rope_position() const { return num_dropped + position; }
    int slot() const { return slot_of(position); }
    int slot_of(int key) const {
      return blocks ? blocks[key / KvCache::kBlock] + key % KvCache::kBlock : first_slot + key;
    }
    // Of `count` keys from the start of a block on, how many lie in slots that follow each other.
    int num_neighbours(int key, int count) const {
      int num = blocks ? KvCache::kBlock : count;
      while (num < count && slot_of(key + num) == slot_of(key) + num) num += KvCache::kBlock;
      return num < count ? num : count;
    }
  };
  // Up to 16 neighbouring tokens of one sequence, whose attention is computed together.
  struct Block {
    int first;
    int num_tokens;
  };

  explicit Plan(std::span<const Segment> segments) {
    for (const Segment& segment : segments) {
      const int first = num_tokens();
      for (int i = 0; i < segment.num_tokens; ++i) {
        places_.push_back({segment.cache, segment.slot, segment.position + i, segment.is_long,
                           segment.num_dropped, segment.blocks});
      }
      for (int i = 0; i < segment.num_tokens; i += kTokenBlock) {
        const int rest = segment.num_tokens - i;
        blocks_.push_back({first + i, rest < kTokenBlock ? rest : kTokenBlock});
      }
    }
  }

  int num_tokens() const { return static_cast<int>(places_.size()); }
  const Place& place(int token) const { return places_[static_cast<size_t>(token)]; }
  const std::vector<Block>& blocks() const { return blocks_; }

 private:
  std::vector<Place> places_;
  std::vector<Block> blocks_;
};

}  // namespace phonelm
