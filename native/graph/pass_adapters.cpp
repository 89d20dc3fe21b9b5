// The adapters' part of a forward pass.
#include "graph/pass.h"

namespace phonelm {

namespace {

// Of a model without adapters.
constexpr LayerAdapters kNone{};

}  // namespace

Pass::Form Pass::adapted(Form form, std::initializer_list<const LowRank*> adapters) {
  size_t count = 0;
  for (const LowRank* adapter : adapters) {
    if (!adapter->empty()) form.adapters[count++] = adapter;
  }
  form.floats = form.floats || count > 0;
  return form;
}

const LayerAdapters& Pass::adapters_of(int layer) const {
  return adapters_ ? adapters_->layer(layer) : kNone;
}

const LowRank& Pass::head_adapter() const { return adapters_ ? adapters_->head() : kNone.output; }

void Pass::lower(const Form& form, const Activations& input, Range rows, int thread) const {
  if (rows.begin == rows.end) return;
  Activations share = input;
  share.values += static_cast<size_t>(rows.begin) * static_cast<size_t>(input.stride);
  share.num_tokens = rows.end - rows.begin;
  for (const LowRank* adapter : form.adapters) {
    if (!adapter) return;
    const Rows& products = adapters_->products(input.num_tokens, thread);
    float* out = products.row(rows.begin) + adapter->place;
    model_.kernels().matmul(adapter->a, 0, adapter->a.num_panels, share, out, products.stride, false);
    for (int row = 0; row < share.num_tokens; ++row, out += products.stride) {
      for (int i = 0; i < adapter->rank(); ++i) out[i] *= adapter->scales[i];
    }
  }
}

void Pass::lift(const LowRank& adapter, int num_rows, float* out, int stride, Range panels,
                int thread) const {
  if (adapter.empty()) return;
  const Rows& products = adapters_->products(num_rows, thread);
  Activations input;
  input.values = products.row(0) + adapter.place;
  input.stride = products.stride;
  input.num_tokens = num_rows;
  input.exact = exact_;
  model_.kernels().matmul(adapter.b, panels.begin, panels.end, input, out, stride, true);
}

}  // namespace phonelm
