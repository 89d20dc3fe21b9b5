#include "graph/products.h"

#include <algorithm>

namespace phonelm {

namespace {

constexpr int kAdaptedPanels = 4;
// Of a model without adapters.
constexpr LayerAdapters kNone{};

}  // namespace

const LayerAdapters& Products::adapters_of(int layer) const {
  return options_.adapters ? options_.adapters->layer(layer) : kNone;
}

const LowRank& Products::head_adapter() const {
  return options_.adapters ? options_.adapters->head() : kNone.output;
}

Products::Form Products::form_for(std::initializer_list<const PackedMatrix*> readers) {
  Form form{false, false};
  for (const PackedMatrix* reader : readers) {
    form.quants = form.quants || (reader->rows > 0 && reader->quantized());
    form.floats = form.floats || (reader->rows > 0 && !reader->quantized());
  }
  return form;
}

Products::Form Products::adapted(Form form, std::initializer_list<const LowRank*> adapters) {
  size_t count = 0;
  for (const LowRank* adapter : adapters) {
    if (!adapter->empty()) form.adapters[count++] = adapter;
  }
  form.floats = form.floats || count > 0;
  return form;
}

Activations Products::prepare_rows(const Rows& rows, int cols, const Form& form, int thread) const {
  Activations input = input_buffer(num_tokens(), thread).view(num_tokens(), cols);
  input.values = rows.row(0);
  input.stride = rows.stride;
  if (batch_invariant) input.residual_limit = 0.0f;
  input.batch_invariant = batch_invariant;
  const Range share = rows_to_make(num_tokens(), thread);
  for (int row = share.begin; row < share.end && form.copy; ++row) {
    copy_row(form, row, rows.row(row), cols, num_tokens(), thread);
  }
  if (!form.quants && !form.is_adapted()) return input;
  for (int row = share.begin; row < share.end && form.quants; ++row) {
    kernels().quantize(rows.row(row), row, input);
  }
  lower(form, input, share, thread);
  if (num_tokens() > 1) barrier();
  return input;
}

Activations Products::prepare_alone(const float* row, int cols, const Form& form, int thread) const {
  Activations input = input_buffer(1, thread).view(1, cols);
  input.values = row;
  kernels().quantize(row, 0, input);
  lower(form, input, {0, 1}, thread);
  return input;
}

void Products::multiply_share(const Linear& weights, const LowRank& adapter, Range share,
                              const Activations& input, float* out, int stride, bool accumulate,
                              int thread) const {
  // An adapter adds to the rows of a batch while they are in the first caches.
  const int step = adapter.empty() || input.num_tokens == 1 ? weights.num_panels : kAdaptedPanels;
  for (int begin = share.begin; begin < share.end; begin += step) {
    const Range panels{begin, std::min(begin + step, share.end)};
    kernels().matmul(weights, panels.begin, panels.end, input, out, stride, accumulate);
    lift(adapter, input.num_tokens, out, stride, panels, thread);
  }
  if (!weights.bias) return;
  const int end = std::min(share.end * kPanelRows, weights.rows);
  for (int token = 0; token < input.num_tokens; ++token) {
    float* row = out + static_cast<size_t>(token) * static_cast<size_t>(stride);
    for (int i = share.begin * kPanelRows; i < end; ++i) row[i] += weights.bias[i];
  }
}

Range Products::multiply(const Linear& weights, const LowRank& adapter, const Activations& input,
                         const Rows& out, bool accumulate, int thread) const {
  const Range share = share_of(weights.num_panels, thread, num_threads);
  multiply_share(weights, adapter, share, input, out.row(0), out.stride, accumulate, thread);
  return share;
}

void Products::multiply_into_residual(const Linear& weights, const LowRank& adapter, const Activations& input,
                                      const Norm& norm, int thread) const {
  const bool has_norm = norm.weight != nullptr;
  multiply(weights, adapter, input, has_norm ? scratch.branch : scratch.residual, !has_norm, thread);
  if (!has_norm) return;
  barrier();
  add_branch(norm, thread);
}

void Products::add_branch(const Norm& norm, int thread) const {
  const int hidden = graph.config.hidden_size;
  const Range share = share_of(num_tokens(), thread, num_threads);
  for (int token = share.begin; token < share.end; ++token) {
    float* branch = scratch.branch.row(token);
    float* residual = scratch.residual.row(token);
    kernels().norm(norm, branch, hidden, branch);
    for (int i = 0; i < hidden; ++i) residual[i] += branch[i];
  }
}

void Products::lower(const Form& form, const Activations& input, Range rows, int thread) const {
  if (rows.begin == rows.end) return;
  Activations share = input;
  share.values += static_cast<size_t>(rows.begin) * static_cast<size_t>(input.stride);
  share.num_tokens = rows.end - rows.begin;
  for (const LowRank* adapter : form.adapters) {
    if (!adapter) return;
    const Rows& products = options_.adapters->products(input.num_tokens, thread);
    float* out = products.row(rows.begin) + adapter->place;
    kernels().matmul(adapter->a, 0, adapter->a.num_panels, share, out, products.stride, false);
    for (int row = 0; row < share.num_tokens; ++row, out += products.stride) {
      for (int i = 0; i < adapter->rank(); ++i) out[i] *= adapter->scales[i];
    }
  }
}

void Products::lift(const LowRank& adapter, int num_rows, float* out, int stride, Range panels,
                    int thread) const {
  if (adapter.empty()) return;
  const Rows& products = options_.adapters->products(num_rows, thread);
  Activations input;
  input.values = products.row(0) + adapter.place;
  input.stride = products.stride;
  input.num_tokens = num_rows;
  input.batch_invariant = batch_invariant;
  kernels().matmul(adapter.b, panels.begin, panels.end, input, out, stride, true);
}

}  // namespace phonelm
