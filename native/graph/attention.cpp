#include "graph/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/rope.h"

namespace phonelm {

namespace {

void store_key(const AttentionJob& job, int token, int kv_head) {
  const int head_dim = job.config.head_dim;
  const Plan::Place& place = job.plan.place(token);
  uint16_t* block = place.cache->key_block(job.layer, kv_head, place.slot()) + place.slot() % KvCache::kBlock;
  const float* key = job.scratch.key.row(token) + kv_head * head_dim;
  uint16_t halves[64];
  for (int begin = 0; begin < head_dim; begin += 64) {
    const int count = std::min(64, head_dim - begin);
    job.kernels.to_half(key + begin, count, halves);
    for (int i = 0; i < count; ++i) block[(begin + i) * KvCache::kBlock] = halves[i];
  }
}

// One head's query or key.
void norm_and_rotate(const AttentionJob& job, const float* norm, int token, float* head) {
  const ModelConfig& config = job.config;
  if (norm) job.kernels.rms_norm(head, norm, config.head_dim, config.norm_eps, head);
  const int rope = config.layer(job.layer).rope;
  if (rope == LayerConfig::kNoRope) return;
  const int first = rope * (config.rope_dim / 2);
  rope_rotate(config, job.scratch.cosines.row(token) + first, job.scratch.sines.row(token) + first, head);
}

// The first key that a token at `position` sees.
int first_key(const AttentionJob& job, int position) {
  return std::max(0, position + 1 - job.config.layer(job.layer).window);
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
      for (int row = 0; row < queries_.num_rows; ++row) soften(row, begin, count, begin > first_key);
      weigh(begin, count);
    }
  }

  float maximum(int row) const { return maximum_[row]; }
  float sum(int row) const { return sum_[row]; }
  const float* weighted(int row) const { return weighted_.row(row); }

 private:
  void score(int begin, int count) {
    const int head_dim = job_.config.head_dim;
    const uint16_t* keys =
        queries_.place.cache->key_block(job_.layer, kv_head_, queries_.place.first_slot + begin);
    const HalfPanels panels{keys,
                            (count + KvCache::kBlock - 1) / KvCache::kBlock,
                            static_cast<size_t>(KvCache::kBlock * head_dim),
                            head_dim,
                            KvCache::kBlock,
                            job_.may_round};
    job_.kernels.half_panels(panels, queries_.data, queries_.stride, queries_.num_rows, scores_.row(0),
                             scores_.stride, false);
  }

  // Scores to weights under the new maximum; what was summed before is brought to it.
  void soften(int row, int begin, int count, bool has_earlier) {
    float* scores = scores_.row(row);
    const int all_before = queries_.visible + row * queries_.visible_step - begin;
    const int end = std::clamp(all_before, 0, count);
    const int first = std::clamp(all_before - queries_.window, 0, end);
    std::fill_n(scores, first, 0.0f);
    std::fill(scores + end, scores + count, 0.0f);
    if (first == end) return;
    const float before = maximum_[row];
    const float now = std::max(before, job_.kernels.maximum(scores + first, end - first));
    const float sum = job_.kernels.exponentiate(scores + first, end - first, now);
    const float factor = std::exp(before - now);
    maximum_[row] = now;
    sum_[row] = sum_[row] * factor + sum;
    if (has_earlier) job_.kernels.scale(weighted_.row(row), weighted_.stride, factor);
  }

  void weigh(int begin, int count) {
    const KvCache& cache = *queries_.place.cache;
    const int stride = cache.value_stride();
    const uint16_t* values = cache.value_row(job_.layer, kv_head_, queries_.place.first_slot + begin);
    const HalfPanels panels{values, stride / kPanelRows, kPanelRows, count, stride, job_.may_round};
    job_.kernels.half_panels(panels, scores_.row(0), scores_.stride, queries_.num_rows, weighted_.row(0),
                             weighted_.stride, true);
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
  const int head_dim = job.config.head_dim;
  const Rows& query = job.scratch.query;
  const Plan::Place& place = job.plan.place(block.first);
  const Queries queries{
      place, query.row(block.first) + head * head_dim, query.stride, block.num_tokens, place.position + 1,
      1,     job.config.layer(job.layer).window};
  RunningAttention attention(job, head / job.group_size(), queries,
                             job.scratch.threads[static_cast<size_t>(thread)]);
  attention.run(block_begin(first_key(job, place.position)), place.position + block.num_tokens);
  for (int row = 0; row < block.num_tokens; ++row) {
    float* out = job.scratch.attention.row(block.first + row) + head * head_dim;
    const float inverse = 1.0f / attention.sum(row);
    for (int i = 0; i < head_dim; ++i) out[i] = attention.weighted(row)[i] * inverse;
  }
}

// One token, all heads, this thread's share of the keys: every key and value is read by one core, once, for
// all heads that share it.
void attend_share(const AttentionJob& job, int thread) {
  const int head_dim = job.config.head_dim;
  const Plan::Place& place = job.plan.place(0);
  const int num_keys = place.position + 1;
  const int begin = block_begin(first_key(job, place.position));
  const Range keys = share_of(num_keys - begin, thread, job.num_threads, KvCache::kBlock);
  const AttentionScratch& scratch = job.scratch.threads[static_cast<size_t>(thread)];
  for (int head = 0; head < job.config.num_heads;) {
    const int kv_head = head / job.group_size();
    const int num_rows = std::min(kTokenBlock, (kv_head + 1) * job.group_size() - head);
    const Queries queries{place, job.scratch.query.row(0) + head * head_dim, head_dim, num_rows, num_keys,
                          0,     job.config.layer(job.layer).window};
    RunningAttention attention(job, kv_head, queries, scratch);
    attention.run(begin + keys.begin, begin + keys.end);
    for (int row = 0; row < num_rows; ++row, ++head) {
      scratch.part_state.row(head)[0] = attention.maximum(row);
      scratch.part_state.row(head)[1] = attention.sum(row);
      std::copy_n(attention.weighted(row), head_dim, scratch.part_weighted.row(head));
    }
  }
}

}  // namespace

void rotate_and_store(const AttentionJob& job, int thread) {
  const ModelConfig& config = job.config;
  const int num_tokens = job.plan.num_tokens();
  const Range queries = share_of(num_tokens * config.num_heads, thread, job.num_threads);
  for (int unit = queries.begin; unit < queries.end; ++unit) {
    const int token = unit / config.num_heads;
    float* head = job.scratch.query.row(token) + unit % config.num_heads * config.head_dim;
    norm_and_rotate(job, job.query_norm, token, head);
    job.kernels.scale(head, config.head_dim, config.attention_scale);
  }
  const Range keys = share_of(num_tokens * config.num_kv_heads, thread, job.num_threads);
  for (int unit = keys.begin; unit < keys.end; ++unit) {
    const int token = unit / config.num_kv_heads;
    const int kv_head = unit % config.num_kv_heads;
    const Plan::Place& place = job.plan.place(token);
    norm_and_rotate(job, job.key_norm, token, job.scratch.key.row(token) + kv_head * config.head_dim);
    store_key(job, token, kv_head);
    job.kernels.to_half(job.scratch.value.row(token) + kv_head * config.head_dim, config.head_dim,
                        place.cache->value_row(job.layer, kv_head, place.slot()));
  }
}

void attend(const AttentionJob& job, int thread) {
  if (job.plan.num_tokens() == 1) return attend_share(job, thread);
  const std::vector<Plan::Block>& blocks = job.plan.blocks();
  const int num_heads = job.config.num_heads;
  // Later tokens have more keys: dealing the blocks out in turn gives every thread some of each.
  for (int unit = thread; unit < static_cast<int>(blocks.size()) * num_heads; unit += job.num_threads) {
    attend_block(job, unit % num_heads, blocks[static_cast<size_t>(unit / num_heads)], thread);
  }
}

void combine_shares(const AttentionJob& job, float* out) {
  const int head_dim = job.config.head_dim;
  const std::span parts(job.scratch.threads.data(), static_cast<size_t>(job.num_threads));
  for (int head = 0; head < job.config.num_heads; ++head, out += head_dim) {
    float maximum = -std::numeric_limits<float>::infinity();
    for (const AttentionScratch& part : parts) {
      maximum = std::max(maximum, part.part_state.row(head)[0]);
    }
    float sum = 0.0f;
    for (const AttentionScratch& part : parts) {
      const float* state = part.part_state.row(head);
      sum += state[1] * std::exp(state[0] - maximum);
    }
    std::fill_n(out, head_dim, 0.0f);
    for (const AttentionScratch& part : parts) {
      const float factor = std::exp(part.part_state.row(head)[0] - maximum) / sum;
      for (int i = 0; i < head_dim; ++i) out[i] += factor * part.part_weighted.row(head)[i];
    }
  }
}

}  // namespace phonelm
