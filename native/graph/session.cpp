#include "graph/session.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"
#include "graph/rope.h"

namespace phonelm {

namespace {

int checked_context(const Model& model, int context_length) {
  const int most = model.config().context_length;
  if (context_length < 1 || context_length > most) {
    throw Error("context length is " + std::to_string(context_length) + "; this model takes 1 to " +
                std::to_string(most));
  }
  return context_length;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, int context_length)
    : model_(std::move(model)),
      context_length_(checked_context(*model_, context_length)),
      cache_(model_->config(), context_length_),
      scratch_(model_->scratch()),
      logits_(1, model_->config().vocab_size) {}

void Session::check(std::span<const int32_t> tokens) const {
  if (tokens.empty()) throw Error("there are no tokens to evaluate; give at least one");
  const auto room = static_cast<size_t>(context_length_ - position_);
  if (tokens.size() > room) {
    throw Error(std::to_string(tokens.size()) + " tokens do not fit into the " + std::to_string(room) +
                " left of a context of " + std::to_string(context_length_) +
                "; shorten the text or take a longer context");
  }
  for (const int32_t token : tokens) {
    if (token < 0 || token >= model_->config().vocab_size) {
      throw Error("token " + std::to_string(token) + " is not in the vocabulary of " +
                  std::to_string(model_->config().vocab_size));
    }
  }
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
  for (size_t begin = 0; begin < tokens.size(); begin += static_cast<size_t>(scratch_.chunk)) {
    const auto chunk =
        tokens.subspan(begin, std::min(tokens.size() - begin, static_cast<size_t>(scratch_.chunk)));
    float* chunk_logits = all_logits ? all_logits + begin * static_cast<size_t>(logits_stride()) : nullptr;
    model_->threads().run([&](int thread) { run_thread(chunk, chunk_logits, thread); });
    position_ += static_cast<int>(chunk.size());
  }
  has_logits_ = true;
}

void Session::run_thread(std::span<const int32_t> tokens, float* all_logits, int thread) {
  const int num_tokens = static_cast<int>(tokens.size());
  embed(tokens, thread);
  model_->threads().barrier();
  for (int layer = 0; layer < model_->config().num_layers; ++layer) run_layer(layer, num_tokens, thread);
  run_head(num_tokens, all_logits, thread);
}

void Session::embed(std::span<const int32_t> tokens, int thread) {
  const Range share = share_of(static_cast<int>(tokens.size()), thread, model_->threads().num_threads());
  for (int token = share.begin; token < share.end; ++token) {
    unpack_row(model_->embedding(), tokens[static_cast<size_t>(token)], scratch_.residual.row(token));
    rope_angles(model_->config(), position_ + token, scratch_.cosines.row(token), scratch_.sines.row(token));
  }
}

template <typename Fill>
Activations Session::prepare(int num_tokens, int cols, int thread, Fill fill) {
  // One token: every thread makes its own copy, which costs less than a barrier.
  const bool alone = num_tokens == 1;
  const InputBuffer& target = alone ? scratch_.own_input[static_cast<size_t>(thread)] : scratch_.shared_input;
  const Activations input = target.view(num_tokens, cols);
  const Range share =
      alone ? Range{0, 1} : share_of(num_tokens, thread, model_->threads().num_threads(), kTokenBlock);
  for (int token = share.begin; token < share.end; ++token) {
    fill(token, target.values(token));
    model_->kernels().quantize(target.values(token), token, input);
  }
  if (!alone) model_->threads().barrier();
  return input;
}

Activations Session::prepare_normed(int first, int num_tokens, const float* norm, int thread) {
  const ModelConfig& config = model_->config();
  return prepare(num_tokens, config.hidden_size, thread, [&](int token, float* out) {
    const float* source = scratch_.residual.row(first + token);
    model_->kernels().rms_norm(source, norm, config.hidden_size, config.norm_eps, out);
  });
}

Activations Session::prepare_attended(const AttentionJob& job, int thread) {
  const int width = job.config.num_heads * job.config.head_dim;
  return prepare(job.num_tokens, width, thread, [&](int token, float* out) {
    if (job.num_tokens == 1) return combine_shares(job, out);
    std::copy_n(scratch_.attention.row(token), width, out);
  });
}

Range Session::multiply(const PackedMatrix& weights, const Activations& input, float* out, int out_stride,
                        bool accumulate, int thread) {
  const Range share = share_of(weights.num_panels, thread, model_->threads().num_threads());
  model_->kernels().matmul(weights, share.begin, share.end, input, out, out_stride, accumulate);
  return share;
}

void Session::run_layer(int index, int num_tokens, int thread) {
  const ModelConfig& config = model_->config();
  const Layer& layer = model_->layers()[static_cast<size_t>(index)];
  ThreadPool& threads = model_->threads();
  const Scratch& s = scratch_;

  const Activations normed = prepare_normed(0, num_tokens, layer.attention_norm, thread);
  multiply(layer.query, normed, s.query.row(0), s.query.stride, false, thread);
  multiply(layer.key, normed, s.key.row(0), s.key.stride, false, thread);
  multiply(layer.value, normed, s.value.row(0), s.value.stride, false, thread);
  threads.barrier();

  const AttentionJob job{config, model_->kernels(), cache_, scratch_, index, position_, num_tokens};
  rotate_and_store(job, thread, threads.num_threads());
  threads.barrier();
  attend(job, thread, threads.num_threads());
  threads.barrier();

  const Activations attended = prepare_attended(job, thread);
  multiply(layer.output, attended, s.residual.row(0), s.residual.stride, true, thread);
  threads.barrier();
  run_ffn(layer, num_tokens, thread);
}

void Session::run_ffn(const Layer& layer, int num_tokens, int thread) {
  const ModelConfig& config = model_->config();
  const Scratch& s = scratch_;
  const Activations normed = prepare_normed(0, num_tokens, layer.ffn_norm, thread);
  const Range share = multiply(layer.up, normed, s.up.row(0), s.up.stride, false, thread);
  if (config.gated) multiply(layer.gate, normed, s.gate.row(0), s.gate.stride, false, thread);
  const Rows& live = config.gated ? s.gate : s.up;
  // Gate and up have the same panels, so a thread activates just what it made.
  const int begin = share.begin * kPanelRows;
  const int size = share.end * kPanelRows - begin;
  for (int token = 0; token < num_tokens; ++token) {
    const float* up = config.gated ? s.up.row(token) + begin : nullptr;
    model_->kernels().activate(config.activation, live.row(token) + begin, up, size);
  }
  model_->threads().barrier();
  const int width = config.intermediate_size;
  const Activations activated = prepare(
      num_tokens, width, thread, [&](int token, float* out) { std::copy_n(live.row(token), width, out); });
  multiply(layer.down, activated, s.residual.row(0), s.residual.stride, true, thread);
  model_->threads().barrier();
}

void Session::run_head(int num_tokens, float* all_logits, int thread) {
  if (all_logits) {
    const Activations input = prepare_normed(0, num_tokens, model_->output_norm(), thread);
    multiply(model_->head(), input, all_logits, logits_stride(), false, thread);
  } else {
    const Activations input = prepare_normed(num_tokens - 1, 1, model_->output_norm(), thread);
    multiply(model_->head(), input, logits_.row(0), logits_stride(), false, thread);
  }
}

}  // namespace phonelm
