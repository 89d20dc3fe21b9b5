#include "graph/attention.h"

#include <cmath>
#include <limits>

#include "graph/rope.h"

namespace phonelm {

namespace {

void store_key(const AttentionJob& job, int token, int kv_head) {
  const int head_dim = job.config.head_dim;
  const int position = job.position + token;
  uint16_t* block = job.cache.key_block(job.layer, kv_head, position) + position % KvCache::kBlock;
  const float* key = job.scratch.key.row(token) + kv_head * head_dim;
  uint16_t halves[64];
  for (int begin = 0; begin < head_dim; begin += 64) {
    const int count = std::min(64, head_dim - begin);
    job.kernels.to_half(key + begin, count, halves);
    for (int i = 0; i < count; ++i) block[(begin + i) * KvCache::kBlock] = halves[i];
  }
}

void rotate(const AttentionJob& job, int token, float* head) {
  rope_rotate(job.config, job.scratch.cosines.row(token), job.scratch.sines.row(token), head);
}

// Softmax state of up to 16 queries.
struct Running {
  float maximum[kTokenBlock];
  float sum[kTokenBlock];
};

class HeadAttention {
 public:
  HeadAttention(const AttentionJob& job, int head, int first_token, int num_rows, int thread)
      : job_(job),
        first_(first_token),
        num_rows_(num_rows),
        head_dim_(job.config.head_dim),
        kv_head_(head / (job.config.num_heads / job.config.num_kv_heads)),
        scores_(job.scratch.scores[static_cast<size_t>(thread)]),
        weighted_(job.scratch.weighted[static_cast<size_t>(thread)]),
        query_(job.scratch.query.row(first_token) + head * head_dim_),
        out_(job.scratch.attention.row(first_token) + head * head_dim_) {
    for (int row = 0; row < num_rows; ++row) {
      running_.maximum[row] = -std::numeric_limits<float>::infinity();
      running_.sum[row] = 0.0f;
      for (int i = 0; i < weighted_.stride; ++i) weighted_.row(row)[i] = 0.0f;
    }
  }

  void run() {
    const int num_keys = job_.position + first_ + num_rows_;
    for (int begin = 0; begin < num_keys; begin += Scratch::kKeyBlock) {
      const int count = std::min(Scratch::kKeyBlock, num_keys - begin);
      score(begin, count);
      for (int row = 0; row < num_rows_; ++row) soften(row, begin, count);
      weigh(begin, count);
    }
    for (int row = 0; row < num_rows_; ++row) {
      float* out = out_ + static_cast<size_t>(row) * static_cast<size_t>(job_.scratch.attention.stride);
      const float inverse = 1.0f / running_.sum[row];
      for (int i = 0; i < head_dim_; ++i) out[i] = weighted_.row(row)[i] * inverse;
    }
  }

 private:
  void score(int begin, int count) {
    for (int key = 0; key < count; key += KvCache::kBlock) {
      job_.kernels.half_panel(job_.cache.key_block(job_.layer, kv_head_, begin + key), KvCache::kBlock,
                              head_dim_, query_, job_.scratch.query.stride, num_rows_, scores_.row(0) + key,
                              scores_.stride, false);
    }
  }

  // Scores to weights under the new maximum; what was summed before is brought to it.
  void soften(int row, int begin, int count) {
    float* scores = scores_.row(row);
    const int visible = std::min(count, job_.position + first_ + row + 1 - begin);
    for (int i = std::max(visible, 0); i < count; ++i) scores[i] = 0.0f;
    if (visible <= 0) return;
    const float before = running_.maximum[row];
    const float now = std::max(before, job_.kernels.maximum(scores, visible));
    const float sum = job_.kernels.exponentiate(scores, visible, now);
    const float factor = std::exp(before - now);
    running_.maximum[row] = now;
    running_.sum[row] = running_.sum[row] * factor + sum;
    if (begin > 0) job_.kernels.scale(weighted_.row(row), weighted_.stride, factor);
  }

  void weigh(int begin, int count) {
    const int stride = job_.cache.value_stride();
    const uint16_t* values = job_.cache.value_row(job_.layer, kv_head_, begin);
    for (int i = 0; i < stride; i += kPanelRows) {
      job_.kernels.half_panel(values + i, stride, count, scores_.row(0), scores_.stride, num_rows_,
                              weighted_.row(0) + i, weighted_.stride, true);
    }
  }

  const AttentionJob& job_;
  const int first_;
  const int num_rows_;
  const int head_dim_;
  const int kv_head_;
  const Rows& scores_;
  const Rows& weighted_;
  const float* query_;
  float* out_;
  Running running_;
};

}  // namespace

void rotate_and_store(const AttentionJob& job, int thread, int num_threads) {
  const ModelConfig& config = job.config;
  const float scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  const Range queries = share_of(job.num_tokens * config.num_heads, thread, num_threads);
  for (int unit = queries.begin; unit < queries.end; ++unit) {
    const int token = unit / config.num_heads;
    float* head = job.scratch.query.row(token) + unit % config.num_heads * config.head_dim;
    rotate(job, token, head);
    job.kernels.scale(head, config.head_dim, scale);
  }
  const Range keys = share_of(job.num_tokens * config.num_kv_heads, thread, num_threads);
  for (int unit = keys.begin; unit < keys.end; ++unit) {
    const int token = unit / config.num_kv_heads;
    const int kv_head = unit % config.num_kv_heads;
    rotate(job, token, job.scratch.key.row(token) + kv_head * config.head_dim);
    store_key(job, token, kv_head);
    job.kernels.to_half(job.scratch.value.row(token) + kv_head * config.head_dim, config.head_dim,
                        job.cache.value_row(job.layer, kv_head, job.position + token));
  }
}

void attend(const AttentionJob& job, int thread, int num_threads) {
  const int num_blocks = (job.num_tokens + kTokenBlock - 1) / kTokenBlock;
  // Later tokens have more keys: dealing the blocks out in turn gives every thread some of each.
  for (int unit = thread; unit < num_blocks * job.config.num_heads; unit += num_threads) {
    const int first = unit / job.config.num_heads * kTokenBlock;
    const int num_rows = std::min(kTokenBlock, job.num_tokens - first);
    HeadAttention(job, unit % job.config.num_heads, first, num_rows, thread).run();
  }
}

}  // namespace phonelm
