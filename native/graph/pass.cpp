#include "graph/pass.h"

#include <algorithm>

#include "graph/rope.h"

namespace phonelm {

namespace {

constexpr int kAdaptedPanels = 4;

int itself(int row) { return row; }

// What the readers of an input want; a matrix that is not there has no rows.
Pass::Form form_for(std::initializer_list<const PackedMatrix*> readers) {
  Pass::Form form{false, false};
  for (const PackedMatrix* reader : readers) {
    form.quants = form.quants || (reader->rows > 0 && reader->quantized());
    form.floats = form.floats || (reader->rows > 0 && !reader->quantized());
  }
  return form;
}

// Of the input of gate and up; up stored neuron by neuron reads quants.
Pass::Form ffn_form(const Layer& layer) {
  Pass::Form form = form_for({&layer.gate, &layer.up});
  form.quants = form.quants || layer.by_neuron();
  return form;
}

// Indices of the positive ones in [begin, end).
int find_positive(const float* x, int begin, int end, int32_t* found) {
  int count = 0;
  for (int i = begin; i < end; ++i) {
    found[count] = i;
    count += x[i] > 0.0f;
  }
  return count;
}

}  // namespace

void Pass::run_layers(int thread) const {
  embed(thread);
  model_.threads().barrier();
  lap(Part::Overhead, thread);
  for (int layer = 0; layer < model_.config().num_layers; ++layer) {
    run_attention(layer, thread);
    lap(Part::Projections, thread);
    run_ffn(layer, thread);
    lap(Part::Ffn, thread);
  }
}

void Pass::embed(int thread) const {
  const ModelConfig& config = model_.config();
  const Range share = share_of(num_tokens(), thread, num_threads_);
  for (int token = share.begin; token < share.end; ++token) {
    float* residual = scratch_.residual.row(token);
    unpack_row(model_.embedding(), tokens_[static_cast<size_t>(token)], residual);
    if (config.embedding_scale != 1.0f) {
      model_.kernels().scale(residual, config.hidden_size, config.embedding_scale);
    }
    const Plan::Place& place = plan_.place(token);
    rope_angles(config, place.rope_position(), place.is_long, scratch_.cosines.row(token),
                scratch_.sines.row(token));
  }
}

void Pass::run_attention(int index, int thread) const {
  const ModelConfig& config = model_.config();
  const Layer& layer = model_.layers()[static_cast<size_t>(index)];
  ThreadPool& threads = model_.threads();
  const Scratch& s = scratch_;

  const LayerAdapters& adapters = adapters_of(index);
  const Form form = adapted(form_for({&layer.query, &layer.key, &layer.value}),
                            {&adapters.query, &adapters.key, &adapters.value});
  const Activations normed = prepare_normed(num_tokens(), itself, layer.attention_norm, form, thread);
  multiply(layer.query, adapters.query, normed, s.query, false, thread);
  multiply(layer.key, adapters.key, normed, s.key, false, thread);
  multiply(layer.value, adapters.value, normed, s.value, false, thread);
  threads.barrier();
  lap(Part::Projections, thread);

  const bool may_round = form.quants && !exact_;
  const AttentionJob job{config,    model_.kernels(), scratch_,         plan_,         index, num_threads_,
                         may_round, exact_,           layer.query_norm, layer.key_norm};
  rotate_and_store(job, thread);
  threads.barrier();
  attend(job, thread);
  threads.barrier();
  lap(Part::Attention, thread);

  const int width = config.num_heads * config.head_dim;
  const Form output_form = adapted(form_for({&layer.output}), {&adapters.output});
  const Activations attended = num_tokens() == 1 ? prepare(1, width, output_form, thread,
                                                           [&](int, float* out) { combine_shares(job, out); })
                                                 : prepare_rows(s.attention, width, output_form, thread);
  multiply_into_residual(layer.output, adapters.output, attended, layer.attention_post_norm, thread);
  threads.barrier();
}

void Pass::run_ffn(int index, int thread) const {
  const ModelConfig& config = model_.config();
  const Layer& layer = model_.layers()[static_cast<size_t>(index)];
  if (layer.by_neuron() && exact_) {
    for (int token = 0; token < num_tokens(); ++token) {
      activate_live(layer, index, token, thread);
      lap(Part::Ffn, thread);
    }
    model_.threads().barrier();
    for (int token = 0; token < num_tokens(); ++token) add_live(layer, index, token, thread);
    model_.threads().barrier();
    return;
  }
  activate_all(layer, index, thread);
  model_.threads().barrier();

  const Rows& activated = config.gated ? scratch_.gate : scratch_.up;
  const LowRank& adapter = adapters_of(index).down;
  const Form form = adapted(layer.by_neuron() ? Form{true, false} : form_for({&layer.down}), {&adapter});
  const Activations input = prepare_rows(activated, config.intermediate_size, form, thread);
  if (layer.by_neuron()) {
    multiply_by_panels(layer.down_columns, adapter, input, scratch_.residual, true, thread);
  } else {
    multiply_into_residual(layer.down, adapter, input, layer.ffn_post_norm, thread);
  }
  model_.threads().barrier();
}

void Pass::activate_all(const Layer& layer, int index, int thread) const {
  const ModelConfig& config = model_.config();
  const Scratch& s = scratch_;
  const LayerAdapters& adapters = adapters_of(index);
  const Form form = adapted(ffn_form(layer), {&adapters.gate, &adapters.up});
  const Activations normed = prepare_normed(num_tokens(), itself, layer.ffn_norm, form, thread);
  const bool by_panels = config.gated && layer.by_neuron();
  const Range share = by_panels ? multiply_by_panels(layer.up_rows, adapters.up, normed, s.up, false, thread)
                                : multiply(layer.up, adapters.up, normed, s.up, false, thread);
  if (config.gated) multiply(layer.gate, adapters.gate, normed, s.gate, false, thread);
  const Rows& live = config.gated ? s.gate : s.up;
  // Gate and up have the same panels, so a thread activates just what it made.
  const int begin = share.begin * kPanelRows;
  const int size = share.end * kPanelRows - begin;
  for (int token = 0; token < num_tokens(); ++token) {
    const float* up = config.gated ? s.up.row(token) + begin : nullptr;
    model_.kernels().activate(config.activation, live.row(token) + begin, up, size);
  }
}

// One token: what is live differs from token to token.
void Pass::activate_live(const Layer& layer, int index, int token, int thread) const {
  const ModelConfig& config = model_.config();
  const LayerAdapters& adapters = adapters_of(index);
  const Form form = adapted(ffn_form(layer), {&adapters.gate, &adapters.up});
  const auto the_token = [token](int) { return token; };
  const Activations normed = prepare_normed(1, the_token, layer.ffn_norm, form, thread);
  const LowRank& first_adapter = config.gated ? adapters.gate : adapters.up;
  const Linear& weights = config.gated ? layer.gate : layer.up;
  const Range share = share_of(weights.num_panels, thread, num_threads_);
  const int begin = share.begin * kPanelRows;
  const int end = share.end * kPanelRows;
  float* values = (config.gated ? scratch_.gate : scratch_.up).row(token);
  multiply_share(weights, first_adapter, share, normed, values, 0, false, thread);
  model_.kernels().activate(config.activation, values + begin, nullptr, end - begin);
  int32_t* neurons = scratch_.live(thread);
  const int num_live = find_positive(values, begin, end, neurons);
  if (live_) live_->add(thread, index, num_live);
  if (!config.gated) return;
  float* up = scratch_.up.row(token);
  model_.kernels().neuron_rows(layer.up_rows, neurons, num_live, normed,
                               reinterpret_cast<int8_t*>(scratch_.panel(thread)), up);
  lift(adapters.up, 1, up, 0, share, thread);
  for (int i = 0; i < num_live; ++i) values[neurons[i]] *= up[neurons[i]];
}

void Pass::add_live(const Layer& layer, int index, int token, int thread) const {
  const ModelConfig& config = model_.config();
  const LowRank& adapter = adapters_of(index).down;
  Activations input = input_buffer(1, thread).view(1, config.intermediate_size);
  input.values = (config.gated ? scratch_.gate : scratch_.up).row(token);
  model_.kernels().quantize(input.values, 0, input);
  lower(adapted(Form{true, false}, {&adapter}), input, {0, 1}, thread);
  const Range rows = share_of(config.hidden_size, thread, num_threads_, kColumnRows);
  float* out = scratch_.residual.row(token);
  model_.kernels().neuron_columns(layer.down_columns, rows.begin, rows.end, input, out);
  lift(adapter, 1, out, 0, {rows.begin / kPanelRows, rows.end / kPanelRows}, thread);
}

Range Pass::head_share(int thread) const { return share_of(model_.head().num_panels, thread, num_threads_); }

void Pass::run_head(std::span<const int32_t> rows, bool exact, float* out, int stride, int thread) const {
  const int num_rows = static_cast<int>(rows.size());
  const auto row_of = [&](int i) { return rows[static_cast<size_t>(i)]; };
  const PackedMatrix& head = model_.head();
  const LowRank& adapter = head_adapter();
  Form form = adapted(form_for({&head}), {&adapter});
  form.exact = exact;
  const Activations input = prepare_normed(num_rows, row_of, model_.output_norm(), form, thread);
  const Range share = head_share(thread);
  model_.kernels().matmul(head, share.begin, share.end, input, out, stride, false);
  lift(adapter, num_rows, out, stride, share, thread);
}

const InputBuffer& Pass::input_buffer(int num_rows, int thread) const {
  // One row: every thread makes its own copy, which costs less than a barrier.
  return num_rows == 1 ? scratch_.own_input[static_cast<size_t>(thread)] : scratch_.shared_input;
}

Range Pass::rows_to_make(int num_rows, int thread) const {
  return num_rows == 1 ? Range{0, 1} : share_of(num_rows, thread, num_threads_, kTokenBlock);
}

template <typename Make>
Activations Pass::prepare(int num_rows, int cols, Form form, int thread, Make make) const {
  const InputBuffer& target = input_buffer(num_rows, thread);
  Activations input = target.view(num_rows, cols);
  if (form.exact || exact_) input.low_limit = 0.0f;
  input.exact = exact_;
  const Range share = rows_to_make(num_rows, thread);
  // Rows that are only read as quants are made in one place, which stays in the first cache.
  float* passing = scratch_.own_input[static_cast<size_t>(thread)].values(0);
  for (int row = share.begin; row < share.end; ++row) {
    float* values = form.floats ? target.values(row) : passing;
    make(row, values);
    if (form.quants) model_.kernels().quantize(values, row, input);
  }
  lower(form, input, share, thread);
  if (num_rows > 1) model_.threads().barrier();
  return input;
}

Activations Pass::prepare_rows(const Rows& rows, int cols, Form form, int thread) const {
  Activations input = input_buffer(num_tokens(), thread).view(num_tokens(), cols);
  input.values = rows.row(0);
  input.stride = rows.stride;
  if (exact_) input.low_limit = 0.0f;
  input.exact = exact_;
  if (!form.quants && !form.is_adapted()) return input;
  const Range share = rows_to_make(num_tokens(), thread);
  for (int row = share.begin; row < share.end && form.quants; ++row) {
    model_.kernels().quantize(rows.row(row), row, input);
  }
  lower(form, input, share, thread);
  if (num_tokens() > 1) model_.threads().barrier();
  return input;
}

template <typename RowOf>
Activations Pass::prepare_normed(int num_rows, RowOf row_of, const float* norm, Form form, int thread) const {
  const ModelConfig& config = model_.config();
  const Activations input = prepare(num_rows, config.hidden_size, form, thread, [&](int i, float* out) {
    const float* source = scratch_.residual.row(row_of(i));
    model_.kernels().norm({.weight = norm, .eps = config.norm_eps}, source, config.hidden_size, out);
  });
  lap(Part::Norms, thread);
  return input;
}

void Pass::multiply_share(const Linear& weights, const LowRank& adapter, Range share,
                          const Activations& input, float* out, int stride, bool accumulate,
                          int thread) const {
  // An adapter adds to the rows of a batch while they are in the first caches.
  const int step = adapter.empty() || input.num_tokens == 1 ? weights.num_panels : kAdaptedPanels;
  for (int begin = share.begin; begin < share.end; begin += step) {
    const Range panels{begin, std::min(begin + step, share.end)};
    model_.kernels().matmul(weights, panels.begin, panels.end, input, out, stride, accumulate);
    lift(adapter, input.num_tokens, out, stride, panels, thread);
  }
  if (!weights.bias) return;
  const int end = std::min(share.end * kPanelRows, weights.rows);
  for (int token = 0; token < input.num_tokens; ++token) {
    float* row = out + static_cast<size_t>(token) * static_cast<size_t>(stride);
    for (int i = share.begin * kPanelRows; i < end; ++i) row[i] += weights.bias[i];
  }
}

Range Pass::multiply(const Linear& weights, const LowRank& adapter, const Activations& input, const Rows& out,
                     bool accumulate, int thread) const {
  const Range share = share_of(weights.num_panels, thread, num_threads_);
  multiply_share(weights, adapter, share, input, out.row(0), out.stride, accumulate, thread);
  return share;
}

void Pass::multiply_into_residual(const Linear& weights, const LowRank& adapter, const Activations& input,
                                  const float* norm, int thread) const {
  const ModelConfig& config = model_.config();
  const Rows& out = norm ? scratch_.branch : scratch_.residual;
  multiply(weights, adapter, input, out, !norm, thread);
  if (!norm) return;
  model_.threads().barrier();
  const Range tokens = share_of(num_tokens(), thread, num_threads_);
  for (int token = tokens.begin; token < tokens.end; ++token) {
    float* branch = scratch_.branch.row(token);
    float* residual = scratch_.residual.row(token);
    model_.kernels().norm({.weight = norm, .eps = config.norm_eps}, branch, config.hidden_size, branch);
    for (int i = 0; i < config.hidden_size; ++i) residual[i] += branch[i];
  }
}

template <typename Matrix>
Range Pass::multiply_by_panels(const Matrix& weights, const LowRank& adapter, const Activations& input,
                               const Rows& out, bool accumulate, int thread) const {
  PackedMatrix panel = panel_layout(weights);
  const Range share = share_of(panel.num_panels, thread, num_threads_);
  std::byte* memory = scratch_.panel(thread);
  panel.data = memory;
  panel.num_panels = 1;
  for (int index = share.begin; index < share.end; ++index) {
    to_panel(weights, index, memory);
    model_.kernels().matmul(panel, 0, 1, input, out.row(0) + index * kPanelRows, out.stride, accumulate);
    lift(adapter, out, {index, index + 1}, thread);
  }
  return share;
}

}  // namespace phonelm
