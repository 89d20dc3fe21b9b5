#include "graph/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/rope.h"

namespace phonelm {

namespace {

// One head's query or key.
void norm_head(const AttentionJob& job, const Norm& norm, float* head) {
  if (job.shape().qk_norm) job.kernels().norm(norm, head, job.shape().head_dim, head);
}

void rotate(const ModelConfig& config, int layer, const float* cosines, const float* sines, float* head) {
  const int rope = config.layer(layer).attention.rope;
  if (rope == AttentionShape::kNoRope) return;
  const int first = config.first_angle(rope);
  rope_rotate(config.ropes[static_cast<size_t>(rope)], cosines + first, sines + first, head);
}

void rotate(const AttentionJob& job, int token, float* head) {
  rotate(job.graph.config, job.layer, job.scratch().cosines.row(token), job.scratch().sines.row(token), head);
}

// The first key that a token at `position` sees.
int first_key(const AttentionJob& job, int position) {
  return std::max(0, position + 1 - job.shape().window);
}

int block_begin(int key) { return key / KvCache::kBlock * KvCache::kBlock; }

// Up to 16 queries that attend over the same keys: neighbouring tokens of one head, or heads that share keys.
// Key 0 is the sequence's first.
struct Queries {
  const Plan::Place& place;
  const float* data;
  int stride;
  int num_rows;
  // Row r sees the keys before `visible + r * visible_step`, of them the last `window`.
  int visible;
  int visible_step;
  int window;
};

class RunningAttention {
 public:
  RunningAttention(const AttentionJob& job, int kv_head, const Queries& queries,
                   const AttentionScratch& scratch)
      : job_(job),
        kv_head_(kv_head),
        queries_(queries),
        scores_(scratch.scores),
        weighted_(scratch.weighted) {
    for (int row = 0; row < queries.num_rows; ++row) {
      maximum_[row] = -std::numeric_limits<float>::infinity();
      sum_[row] = 0.0f;
      std::fill_n(weighted_.row(row), weighted_.stride, 0.0f);
    }
  }

  void run(int first_key, int end_key) {
    for (int begin = first_key; begin < end_key; begin += Scratch::kKeyBlock) {
      const int count = std::min(Scratch::kKeyBlock, end_key - begin);
      score(begin, count);
      for (int row = 0; row < queries_.num_rows; ++row) softmax_row(row, begin, count, begin > first_key);
      add_values(begin, count);
    }
  }

  float maximum(int row) const { return maximum_[row]; }
  float sum(int row) const { return sum_[row]; }
  const float* weighted(int row) const { return weighted_.row(row); }

 private:
  // Calls body(number of keys before, slot, number of keys) for the runs of neighbouring slots.
  template <typename Body>
  void for_each_run(int begin, int count, Body body) const {
    for (int done = 0; done < count;) {
      const int run = queries_.place.num_neighbours(begin + done, count - done);
      body(done, queries_.place.slot_of(begin + done), run);
      done += run;
    }
  }

  void score(int begin, int count) {
    const KvCache& cache = *queries_.place.cache;
    for_each_run(begin, count, [&](int done, int slot, int run) {
      if (cache.type() == KvType::Q8_0) {
        job_.kernels().byte_keys(cache.key_bytes(job_.layer, kv_head_, slot, run, job_.may_round),
                                 queries_.data, queries_.stride, queries_.num_rows, scores_.row(0) + done,
                                 scores_.stride);
      } else {
        job_.kernels().half_panels(cache.key_halves(job_.layer, kv_head_, slot, run, job_.may_round),
                                   queries_.data, queries_.stride, queries_.num_rows, scores_.row(0) + done,
                                   scores_.stride, false);
      }
    });
  }

  // Scores to weights under the new maximum; what was summed before is brought to it.
  void softmax_row(int row, int begin, int count, bool has_earlier) {
    float* scores = scores_.row(row);
    const int all_before = queries_.visible + row * queries_.visible_step - begin;
    const int end = std::clamp(all_before, 0, count);
    const int first = std::clamp(all_before - queries_.window, 0, end);
    std::fill_n(scores, first, 0.0f);
    std::fill(scores + end, scores + count, 0.0f);
    if (first == end) return;
    const float before = maximum_[row];
    const float now = std::max(before, job_.kernels().maximum(scores + first, end - first));
    const float sum = job_.kernels().exponentiate(scores + first, end - first, now);
    const float factor = std::exp(before - now);
    maximum_[row] = now;
    sum_[row] = sum_[row] * factor + sum;
    if (has_earlier) job_.kernels().scale(weighted_.row(row), weighted_.stride, factor);
  }

  void add_values(int begin, int count) {
    const KvCache& cache = *queries_.place.cache;
    for_each_run(begin, count, [&](int done, int slot, int run) {
      if (cache.type() == KvType::Q8_0) {
        job_.kernels().byte_values(cache.value_bytes(job_.layer, kv_head_, slot, run, job_.may_round),
                                   scores_.row(0) + done, scores_.stride, queries_.num_rows, weighted_.row(0),
                                   weighted_.stride);
      } else {
        job_.kernels().half_panels(cache.value_halves(job_.layer, kv_head_, slot, run, job_.may_round),
                                   scores_.row(0) + done, scores_.stride, queries_.num_rows, weighted_.row(0),
                                   weighted_.stride, true);
      }
    });
  }

  const AttentionJob& job_;
  const int kv_head_;
  const Queries queries_;
  const Rows& scores_;
  const Rows& weighted_;
  float maximum_[kTokenBlock];
  float sum_[kTokenBlock];
};

// One head, up to 16 tokens, all their keys.
void attend_block(const AttentionJob& job, int head, const Plan::Block& block, int thread) {
  const int head_dim = job.shape().head_dim;
  const Rows& query = job.scratch().query;
  const Plan::Place& place = job.plan.place(block.first);
  const Queries queries{place,
                        query.row(block.first) + head * head_dim,
                        query.stride,
                        block.num_tokens,
                        place.position + 1,
                        1,
                        job.shape().window};
  RunningAttention attention(job, head / job.shape().group_size(), queries,
                             job.scratch().threads[static_cast<size_t>(thread)]);
  attention.run(block_begin(first_key(job, place.position)), place.position + block.num_tokens);
  for (int row = 0; row < block.num_tokens; ++row) {
    float* out = job.scratch().attention.row(block.first + row) + head * head_dim;
    const float inverse = 1.0f / attention.sum(row);
    for (int i = 0; i < head_dim; ++i) out[i] = attention.weighted(row)[i] * inverse;
  }
}

// One token, the heads [head, end) that share keys, at most 16: their attention to share `share` of the keys,
// as parts `part`, `part` + 1, ... of a thread's scratch memory.
void attend_part(const AttentionJob& job, int token, Range heads, int share, int part,
                 const AttentionScratch& scratch) {
  const int head_dim = job.shape().head_dim;
  const Plan::Place& place = job.plan.place(token);
  const int num_keys = place.position + 1;
  const int begin = block_begin(first_key(job, place.position));
  const Range keys = share_of(num_keys - begin, share, job.num_threads, KvCache::kBlock);
  const float* query = job.scratch().query.row(token) + heads.begin * head_dim;
  const Queries queries{place, query, head_dim, heads.end - heads.begin, num_keys, 0, job.shape().window};
  RunningAttention attention(job, heads.begin / job.shape().group_size(), queries, scratch);
  attention.run(begin + keys.begin, begin + keys.end);
  for (int row = 0; row < queries.num_rows; ++row, ++part) {
    scratch.part_state.row(part)[0] = attention.maximum(row);
    scratch.part_state.row(part)[1] = attention.sum(row);
    std::copy_n(attention.weighted(row), head_dim, scratch.part_weighted.row(part));
  }
}

// Calls body(heads) for runs of at most 16 heads that share keys.
template <typename Body>
void for_shared_heads(const AttentionJob& job, Body body) {
  for (int head = 0; head < job.shape().num_heads;) {
    const int end_of_group = (head / job.shape().group_size() + 1) * job.shape().group_size();
    const Range heads{head, std::min(head + kTokenBlock, end_of_group)};
    body(heads);
    head = heads.end;
  }
}

// One token, all heads, this thread's share of the keys: every key and value is read by one core, once, for
// all heads that share it.
void attend_share(const AttentionJob& job, int thread) {
  const AttentionScratch& scratch = job.scratch().threads[static_cast<size_t>(thread)];
  for_shared_heads(job, [&](Range heads) { attend_part(job, 0, heads, thread, heads.begin, scratch); });
}

// Softmax's parts put together: `part_of(share)` gives a share's maximum and sum, and its weighted values.
template <typename PartOf>
void combine(int num_shares, int head_dim, PartOf part_of, float* out) {
  float maximum = -std::numeric_limits<float>::infinity();
  for (int share = 0; share < num_shares; ++share) maximum = std::max(maximum, part_of(share).state[0]);
  float sum = 0.0f;
  for (int share = 0; share < num_shares; ++share) {
    const float* state = part_of(share).state;
    sum += state[1] * std::exp(state[0] - maximum);
  }
  std::fill_n(out, head_dim, 0.0f);
  for (int share = 0; share < num_shares; ++share) {
    const float factor = std::exp(part_of(share).state[0] - maximum) / sum;
    const float* weighted = part_of(share).weighted;
    for (int i = 0; i < head_dim; ++i) out[i] += factor * weighted[i];
  }
}

struct SoftmaxPart {
  const float* state;
  const float* weighted;
};

// Several tokens, each by the shares that it would have alone: this thread's tokens and heads.
void attend_alone(const AttentionJob& job, int thread) {
  const int head_dim = job.shape().head_dim;
  const AttentionScratch& scratch = job.scratch().threads[static_cast<size_t>(thread)];
  int unit = 0;
  for (int token = 0; token < job.plan.num_tokens(); ++token) {
    for_shared_heads(job, [&](Range heads) {
      if (unit++ % job.num_threads != thread) return;
      const int num_heads = heads.end - heads.begin;
      for (int share = 0; share < job.num_threads; ++share) {
        attend_part(job, token, heads, share, share * num_heads, scratch);
      }
      for (int head = heads.begin; head < heads.end; ++head) {
        const auto part_of = [&](int share) {
          const int part = share * num_heads + head - heads.begin;
          return SoftmaxPart{scratch.part_state.row(part), scratch.part_weighted.row(part)};
        };
        combine(job.num_threads, head_dim, part_of, job.scratch().attention.row(token) + head * head_dim);
      }
    });
  }
}

}  // namespace

void rotate_and_store(const AttentionJob& job, int thread) {
  const AttentionShape& shape = job.shape();
  const Layer& layer = job.graph.layer(job.layer);
  const int num_tokens = job.plan.num_tokens();
  const Range queries = share_of(num_tokens * shape.num_heads, thread, job.num_threads);
  for (int unit = queries.begin; unit < queries.end; ++unit) {
    const int token = unit / shape.num_heads;
    float* head = job.scratch().query.row(token) + unit % shape.num_heads * shape.head_dim;
    norm_head(job, layer.query_norm, head);
    rotate(job, token, head);
    job.kernels().scale(head, shape.head_dim, shape.scale);
  }
  const Range keys = share_of(num_tokens * shape.num_kv_heads, thread, job.num_threads);
  for (int unit = keys.begin; unit < keys.end; ++unit) {
    const int token = unit / shape.num_kv_heads;
    const int kv_head = unit % shape.num_kv_heads;
    const Plan::Place& place = job.plan.place(token);
    float* key = job.scratch().key.row(token) + kv_head * shape.head_dim;
    const float* value = job.scratch().value.row(token) + kv_head * shape.head_dim;
    norm_head(job, layer.key_norm, key);
    if (place.position < place.cache->num_sinks()) {
      std::copy_n(key, shape.head_dim, place.cache->sink_key(job.layer, kv_head, place.position));
    }
    rotate(job, token, key);
    place.cache->store_key(job.kernels(), job.layer, kv_head, place.slot(), key);
    place.cache->store_value(job.kernels(), job.layer, kv_head, place.slot(), value);
  }
}

void attend(const AttentionJob& job, int thread) {
  if (job.plan.num_tokens() == 1) return attend_share(job, thread);
  if (job.batch_invariant) return attend_alone(job, thread);
  const std::vector<Plan::Block>& blocks = job.plan.blocks();
  const int num_heads = job.shape().num_heads;
  // Later tokens have more keys: dealing the blocks out in turn gives every thread some of each.
  for (int unit = thread; unit < static_cast<int>(blocks.size()) * num_heads; unit += job.num_threads) {
    attend_block(job, unit % num_heads, blocks[static_cast<size_t>(unit / num_heads)], thread);
  }
}

void rotate_sinks(const ModelConfig& config, const Kernels& kernels, const KvCache& cache,
                  int64_t num_dropped, bool is_long) {
  std::vector<float> cosines(static_cast<size_t>(config.num_angles()));
  std::vector<float> sines(cosines.size());
  std::vector<float> key;
  for (int slot = 0; slot < cache.num_sinks(); ++slot) {
    rope_angles(config, slot + num_dropped, is_long, cosines.data(), sines.data());
    for (int layer = 0; layer < config.num_layers(); ++layer) {
      const AttentionShape& shape = config.layer(layer).attention;
      key.resize(static_cast<size_t>(shape.head_dim));
      for (int head = 0; head < shape.num_kv_heads; ++head) {
        std::copy_n(cache.sink_key(layer, head, slot), key.size(), key.data());
        rotate(config, layer, cosines.data(), sines.data(), key.data());
        cache.store_key(kernels, layer, head, slot, key.data());
      }
    }
  }
}

void combine_shares(const AttentionJob& job, float* out) {
  const int head_dim = job.shape().head_dim;
  for (int head = 0; head < job.shape().num_heads; ++head, out += head_dim) {
    const auto part_of = [&](int share) {
      const AttentionScratch& part = job.scratch().threads[static_cast<size_t>(share)];
      return SoftmaxPart{part.part_state.row(head), part.part_weighted.row(head)};
    };
    combine(job.num_threads, head_dim, part_of, out);
  }
}

}  // namespace phonelm
