#include "graph/session.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "core/error.h"
#include "core/memory.h"
#include "graph/attention.h"

namespace phonelm {

namespace {

// Of the tokens that are not sinks, this many are dropped when a full context slides.
constexpr int kDroppedShare = 4;
constexpr int kMaxSinks = 1024;

void check_sinks(int num_sinks, int context_length) {
  if (num_sinks < 0 || num_sinks > kMaxSinks) {
    throw Error("the number of attention sinks is " + std::to_string(num_sinks) + "; take 0 to " +
                std::to_string(kMaxSinks));
  }
  const int least = num_sinks + 2 * KvCache::kBlock;
  if (context_length < least) {
    throw Error("a context of " + std::to_string(context_length) + " tokens is too short to slide; take " +
                std::to_string(least) + " or more");
  }
}

// Of one batch-invariant pass: a number that kernels have loops for.
constexpr int kStepTokens = 12;

const SessionOptions& checked(const Model& model, const SessionOptions& options) {
  const int length = options.context_length;
  const int most = model.config().context_length;
  if (length < 1 || length > most) {
    throw Error("context length is " + std::to_string(length) + "; this model takes 1 to " +
                std::to_string(most));
  }
  if (options.num_sinks) check_sinks(*options.num_sinks, length);
  require_memory(KvCache::bytes_for(model.config(), length, options.kv_type),
                 "a KV cache for " + std::to_string(length) + " tokens",
                 options.kv_type == KvType::F16 ? "take a shorter context, KV type q8_0 or a smaller model"
                                                : "take a shorter context or a smaller model");
  return options;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options,
                 std::shared_ptr<Adapters> adapters)
    : model_(std::move(model)),
      adapters_(std::move(adapters)),
      options_(checked(*model_, options)),
      cache_(model_->config(), options_.context_length, options_.kv_type, num_sinks()),
      logits_(1, model_->config().vocab_size),
      live_(model_->threads().num_threads(), model_->config().num_layers()) {
  check_adapters(*model_, adapters_.get());
}

void Session::check(std::span<const int32_t> tokens) const {
  if (tokens.empty()) throw Error("there are no tokens to evaluate; give at least one");
  if (tokens.size() > static_cast<size_t>(room())) {
    if (slides()) throw Error("a session counts 2^31 - 1 tokens at most; start a new one");
    throw Error(std::to_string(tokens.size()) + " tokens do not fit into the " + std::to_string(room()) +
                " left of a context of " + std::to_string(context_length()) +
                "; shorten the text or take a longer context");
  }
  check_tokens(model_->config(), tokens);
}

void Session::prefill(std::span<const int32_t> tokens) {
  check(tokens);
  forward(tokens, nullptr, false);
}

void Session::prefill_logits(std::span<const int32_t> tokens, float* out) {
  check(tokens);
  forward(tokens, out, false);
  const float* last = out + (tokens.size() - 1) * static_cast<size_t>(logits_stride());
  std::memcpy(logits_.row(0), last, logits_.buffer.size());
}

void Session::step(std::span<const int32_t> tokens, float* out) {
  check(tokens);
  forward(tokens, out, true);
  if (!out) return;
  const float* last = out + (tokens.size() - 1) * static_cast<size_t>(logits_stride());
  std::memcpy(logits_.row(0), last, logits_.buffer.size());
}

void Session::truncate(int position) {
  const int least = num_dropped_ > 0 ? num_dropped_ + num_sinks() : 0;
  if (position < least || position > this->position()) {
    throw Error("cannot go back to position " + std::to_string(position) + " from " +
                std::to_string(this->position()) +
                (least > 0 ? ": the context has slid past " + std::to_string(least) : "") +
                "; take a position between, or a new session");
  }
  tokens_.resize(static_cast<size_t>(position));
}

std::unique_ptr<Session> Session::fork(int num_tokens, int context_length) const {
  if (num_tokens < 0 || num_tokens > position() || num_dropped_ > 0) {
    throw Error("cannot fork " + std::to_string(num_tokens) + " of " + std::to_string(position()) +
                " tokens" + (num_dropped_ > 0 ? ": the context has slid" : "") +
                "; take fewer, or a new session");
  }
  if (num_tokens > context_length) {
    throw Error(std::to_string(num_tokens) + " tokens do not fit into a context of " +
                std::to_string(context_length) + "; take a longer one");
  }
  if (is_long(context_length) != is_long(this->context_length())) {
    throw Error("contexts of " + std::to_string(this->context_length()) + " and " +
                std::to_string(context_length) + " tokens rotate keys differently in this model; take " +
                std::to_string(this->context_length()));
  }
  SessionOptions options = options_;
  options.context_length = context_length;
  auto copy = std::make_unique<Session>(model_, options, adapters_);
  copy->cache_.copy_from(cache_, num_tokens);
  copy->append(std::span(tokens_).first(static_cast<size_t>(num_tokens)));
  if (logits_are_current() && num_tokens == position()) {
    std::memcpy(copy->logits_.row(0), logits_.row(0), logits_.buffer.size());
    copy->note_logits();
  }
  return copy;
}

std::span<const float> Session::logits() const {
  if (!has_logits_) return {};
  return {logits_.row(0), static_cast<size_t>(model_->config().vocab_size)};
}

void Session::note_logits() {
  has_logits_ = true;
  logits_position_ = position();
}

void Session::append(std::span<const int32_t> tokens) {
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  most_cached_ = std::max(most_cached_, num_cached());
}

Segment Session::next_segment(int num_tokens) const {
  return {&cache_, 0, num_cached(), num_tokens, is_long(context_length()), num_dropped_};
}

void Session::make_room() {
  if (free_slots() > 0) return;
  const int others = context_length() - num_sinks();
  const int count = std::max(others / kDroppedShare / KvCache::kBlock, 1) * KvCache::kBlock;
  cache_.drop(num_sinks(), count, num_cached());
  num_dropped_ += count;
  rotate_sinks(model_->config(), model_->kernels(), cache_, num_dropped_, is_long(context_length()));
}

void Session::forward(std::span<const int32_t> tokens, float* all_logits, bool batch_invariant) {
  const int chunk = batch_invariant ? kStepTokens : model_->scratch().chunk;
  for (size_t begin = 0; begin < tokens.size();) {
    make_room();
    const auto most = static_cast<size_t>(std::min(free_slots(), chunk));
    const size_t count = std::min(tokens.size() - begin, most);
    float* logits = all_logits ? all_logits + begin * static_cast<size_t>(logits_stride()) : nullptr;
    run_chunk(tokens.subspan(begin, count), logits, batch_invariant);
    begin += count;
  }
  note_logits();
}

void Session::run_chunk(std::span<const int32_t> tokens, float* all_logits, bool batch_invariant) {
  PartClock* clock = is_timed_ ? &clock_ : nullptr;
  if (clock) clock->start();
  const int num_tokens = static_cast<int>(tokens.size());
  const Segment segment = next_segment(num_tokens);
  const Plan plan({&segment, 1});
  std::vector<int32_t> rows(all_logits ? tokens.size() : 1, num_tokens - 1);
  if (all_logits) std::iota(rows.begin(), rows.end(), 0);
  float* logits = all_logits ? all_logits : logits_.row(0);
  const int num_threads = batch_invariant ? model_->decode_threads() : model_->threads_for(num_tokens);
  const Pass pass(model_->graph(), tokens, plan,
                  {num_threads, &live_, adapters_.get(), batch_invariant, clock});
  model_->threads().run(num_threads, [&](int thread) {
    pass.run_layers(thread);
    pass.run_head(rows, rows.size() == 1, logits, logits_stride(), thread);
  });
  if (clock) clock->lap(Part::Head);
  append(tokens);
  num_decoded_ += batch_invariant || num_tokens == 1 ? num_tokens : 0;
}

std::vector<double> Session::live_fractions() const {
  std::vector<double> fractions;
  if (num_decoded_ == 0 || !model_->layers()[0].by_neuron()) return fractions;
  for (int layer = 0; layer < model_->config().num_layers(); ++layer) {
    const int num_neurons = model_->config().layer(layer).ffn.intermediate_size;
    fractions.push_back(static_cast<double>(live_.of_layer(layer)) /
                        (static_cast<double>(num_neurons) * num_decoded_));
  }
  return fractions;
}

}  // namespace phonelm
