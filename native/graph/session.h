// One sequence of tokens on a model: the tokens themselves, their keys and values, the logits of the last
// one.
//
// A context that is full stops, or slides (StreamingLLM, arXiv 2309.17453): the first few tokens stay as
// attention sinks, the oldest of the others are dropped, a quarter of the context at a time. Rotary
// embeddings only know distances, so that the keys that stay keep their rotation and the next tokens count
// on; only the sinks move along, and their keys, kept unrotated, are rotated again. Nothing is rounded twice.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graph/pass.h"

namespace phonelm {

// Of a context that slides, as in StreamingLLM (arXiv 2309.17453).
inline constexpr int kDefaultSinks = 4;

struct SessionOptions {
  int context_length = 0;
  KvType kv_type = KvType::F16;
  // Tokens at the beginning that stay when the context slides; none: it stops when it is full.
  std::optional<int> num_sinks;
};

class Session {
 public:
  // Throws Error for a context that is empty, longer than the model's, or too short to slide, and for one
  // that does not fit into memory, and for adapters of another model. The adapters stay the session's own to
  // its end.
  Session(std::shared_ptr<const Model> model, const SessionOptions& options,
          std::shared_ptr<Adapters> adapters = nullptr);

  // Evaluates tokens after those before; the last one's logits are kept. Throws Error for an unknown token or
  // an overrun of a context that does not slide, before anything has changed.
  void prefill(std::span<const int32_t> tokens);
  // The same, with the logits of every token: row i of `out` starts at i * logits_stride().
  void prefill_logits(std::span<const int32_t> tokens, float* out);
  // The same, each token rounded as it would be alone: logits, keys and values are what `prefill` of one
  // after the other gives, bit by bit. Without `out` only the last one's logits are made.
  void step(std::span<const int32_t> tokens, float* out);
  // Forgets the tokens from `position` on; the logits are those of the last evaluation still. Throws Error
  // for a position ahead, or one that the context has slid past.
  void truncate(int position);
  // An independent session that begins with the same tokens. Throws Error as `truncate` and the constructor
  // do.
  std::unique_ptr<Session> fork(int num_tokens, int context_length) const;

  // Of the last token evaluated; empty before the first.
  std::span<const float> logits() const;
  // Whether they follow the token at hand, which after `truncate` they do not.
  bool logits_are_current() const { return has_logits_ && logits_position_ == position(); }
  int logits_stride() const { return logits_.stride; }
  // All tokens evaluated, also those that the context has slid past.
  const std::vector<int32_t>& tokens() const { return tokens_; }
  int position() const { return static_cast<int>(tokens_.size()); }
  int num_dropped() const { return num_dropped_; }
  // Tokens that can still be evaluated; a context that slides takes any number.
  int room() const { return slides() ? std::numeric_limits<int>::max() - position() : free_slots(); }
  bool slides() const { return options_.num_sinks.has_value(); }
  const SessionOptions& options() const { return options_; }
  int context_length() const { return options_.context_length; }
  size_t kv_bytes() const { return cache_.num_bytes(); }
  // Of the keys and values so far.
  size_t used_bytes() const { return cache_.bytes_per_token() * static_cast<size_t>(most_cached_); }
  const Model& model() const { return *model_; }
  const std::shared_ptr<Adapters>& adapters() const { return adapters_; }
  // Share of active FFN neurons by layer, over the tokens that were evaluated alone; empty before the first
  // such token, and for a model whose FFN is not stored neuron by neuron.
  std::vector<double> live_fractions() const;
  // From now on the time of each part of the model is counted; without this call nothing is.
  void time_parts() { is_timed_ = true; }
  const PartClock& part_clock() const { return clock_; }

 private:
  friend class BatchRun;
  friend class SessionFile;

  int num_cached() const { return position() - num_dropped_; }
  int free_slots() const { return options_.context_length - num_cached(); }
  bool is_long(int context) const { return model_->config().is_long(context); }
  int num_sinks() const { return options_.num_sinks.value_or(0); }
  void check(std::span<const int32_t> tokens) const;
  void forward(std::span<const int32_t> tokens, float* all_logits, bool batch_invariant);
  void run_chunk(std::span<const int32_t> tokens, float* all_logits, bool batch_invariant);
  // Makes room for one token at least.
  void make_room();
  Segment next_segment(int num_tokens) const;
  // Notes tokens that a pass has evaluated.
  void append(std::span<const int32_t> tokens);
  void note_logits();

  std::shared_ptr<const Model> model_;
  std::shared_ptr<Adapters> adapters_;
  SessionOptions options_;
  std::vector<int32_t> tokens_;
  int num_dropped_ = 0;
  int most_cached_ = 0;
  bool has_logits_ = false;
  int logits_position_ = 0;
  KvCache cache_;
  Rows logits_;
  LiveCounts live_;
  int num_decoded_ = 0;
  bool is_timed_ = false;
  PartClock clock_;
};

}  // namespace phonelm
