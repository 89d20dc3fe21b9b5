#include "graph/session.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "core/error.h"
#include "core/memory.h"

namespace phonelm {

namespace {

int checked_context(const Model& model, int context_length) {
  const int most = model.config().context_length;
  if (context_length < 1 || context_length > most) {
    throw Error("context length is " + std::to_string(context_length) + "; this model takes 1 to " +
                std::to_string(most));
  }
  require_memory(KvCache::bytes_for(model.config(), context_length),
                 "a KV cache for " + std::to_string(context_length) + " tokens");
  return context_length;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, int context_length, std::shared_ptr<Adapters> adapters)
    : model_(std::move(model)),
      adapters_(std::move(adapters)),
      context_length_(checked_context(*model_, context_length)),
      cache_(model_->config(), context_length_),
      logits_(1, model_->config().vocab_size),
      live_(model_->threads().num_threads(), model_->config().num_layers) {
  check_adapters(*model_, adapters_.get());
}

void Session::check(std::span<const int32_t> tokens) const {
  if (tokens.empty()) throw Error("there are no tokens to evaluate; give at least one");
  const auto room = static_cast<size_t>(context_length_ - position_);
  if (tokens.size() > room) {
    throw Error(std::to_string(tokens.size()) + " tokens do not fit into the " + std::to_string(room) +
                " left of a context of " + std::to_string(context_length_) +
                "; shorten the text or take a longer context");
  }
  check_tokens(model_->config(), tokens);
}

void Session::prefill(std::span<const int32_t> tokens) {
  check(tokens);
  forward(tokens, nullptr);
}

void Session::prefill_logits(std::span<const int32_t> tokens, float* out) {
  check(tokens);
  forward(tokens, out);
  const float* last = out + (tokens.size() - 1) * static_cast<size_t>(logits_stride());
  std::memcpy(logits_.row(0), last, logits_.buffer.size());
}

void Session::truncate(int position) {
  if (position < 0 || position > position_) {
    throw Error("cannot go back to position " + std::to_string(position) + " from " +
                std::to_string(position_));
  }
  position_ = position;
}

std::span<const float> Session::logits() const {
  if (!has_logits_) return {};
  return {logits_.row(0), static_cast<size_t>(model_->config().vocab_size)};
}

void Session::forward(std::span<const int32_t> tokens, float* all_logits) {
  const auto chunk = static_cast<size_t>(model_->scratch().chunk);
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    float* logits = all_logits ? all_logits + begin * static_cast<size_t>(logits_stride()) : nullptr;
    run_chunk(tokens.subspan(begin, std::min(tokens.size() - begin, chunk)), logits);
  }
  has_logits_ = true;
}

void Session::run_chunk(std::span<const int32_t> tokens, float* all_logits) {
  const int num_tokens = static_cast<int>(tokens.size());
  const Segment segment{&cache_, 0, position_, num_tokens, model_->config().is_long(context_length_)};
  const Plan plan({&segment, 1});
  std::vector<int32_t> rows(all_logits ? tokens.size() : 1, num_tokens - 1);
  if (all_logits) std::iota(rows.begin(), rows.end(), 0);
  float* logits = all_logits ? all_logits : logits_.row(0);
  const int num_threads = model_->threads_for(num_tokens);
  const Pass pass(*model_, tokens, plan, num_threads, &live_, adapters_.get());
  model_->threads().run(num_threads, [&](int thread) {
    pass.run_layers(thread);
    pass.run_head(rows, rows.size() == 1, logits, logits_stride(), thread);
  });
  position_ += num_tokens;
  num_decoded_ += num_tokens == 1;
}

std::vector<double> Session::live_fractions() const {
  std::vector<double> fractions;
  const ModelConfig& config = model_->config();
  if (num_decoded_ == 0 || !model_->layers()[0].by_neuron()) return fractions;
  const double num_neurons = static_cast<double>(config.intermediate_size) * num_decoded_;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    fractions.push_back(static_cast<double>(live_.of_layer(layer)) / num_neurons);
  }
  return fractions;
}

}  // namespace phonelm
