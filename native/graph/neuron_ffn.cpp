// The FFN of a ReLU model that is stored neuron by neuron.
#include "graph/ffn_block.h"

namespace phonelm {

namespace {

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

void FfnBlock::run_by_neuron(int thread) const {
  if (!products_.batch_invariant) return run_batch_by_neuron(thread);
  for (int token = 0; token < products_.num_tokens(); ++token) {
    activate_live(token, thread);
    products_.lap(Part::Ffn, thread);
  }
  products_.barrier();
  for (int token = 0; token < products_.num_tokens(); ++token) add_live(token, thread);
  products_.barrier();
  products_.lap(Part::Ffn, thread);
}

void FfnBlock::run_batch_by_neuron(int thread) const {
  const Scratch& s = products_.scratch;
  const Activations normed = products_.prepare_normed(layer_.ffn_norm, input_form(), thread);
  const Range share =
      shape_.gated ? products_.multiply_by_panels(layer_.up_rows, adapters_.up, normed, s.up, false, thread)
                   : products_.multiply(layer_.up, adapters_.up, normed, s.up, false, thread);
  if (shape_.gated) products_.multiply(layer_.gate, adapters_.gate, normed, s.gate, false, thread);
  activate(share);
  products_.barrier();
  const Products::Form form = Products::adapted({true, false}, {&adapters_.down});
  const Activations input = products_.prepare_rows(activated(), shape_.intermediate_size, form, thread);
  products_.multiply_by_panels(layer_.down_columns, adapters_.down, input, s.residual, true, thread);
  products_.barrier();
  products_.lap(Part::Ffn, thread);
}

void FfnBlock::activate_live(int token, int thread) const {
  const auto the_token = [token](int) { return token; };
  const Activations normed = products_.prepare_normed(1, the_token, layer_.ffn_norm, input_form(), thread);
  const LowRank& first_adapter = shape_.gated ? adapters_.gate : adapters_.up;
  const Linear& weights = shape_.gated ? layer_.gate : layer_.up;
  const Range share = share_of(weights.num_panels, thread, products_.num_threads);
  const int begin = share.begin * kPanelRows;
  const int end = share.end * kPanelRows;
  float* values = activated().row(token);
  products_.multiply_share(weights, first_adapter, share, normed, values, 0, false, thread);
  products_.kernels().activate(shape_.activation, values + begin, nullptr, end - begin);
  const int num_live = find_positive(values, begin, end, products_.scratch.live(thread));
  products_.count_live(index_, num_live, thread);
  if (shape_.gated) multiply_live(token, normed, num_live, share, thread);
}

void FfnBlock::multiply_live(int token, const Activations& input, int num_live, Range share,
                             int thread) const {
  const Scratch& s = products_.scratch;
  const int32_t* neurons = s.live(thread);
  float* up = s.up.row(token);
  products_.kernels().neuron_rows(layer_.up_rows, neurons, num_live, input,
                                  reinterpret_cast<int8_t*>(s.panel(thread)), up);
  products_.lift(adapters_.up, 1, up, 0, share, thread);
  float* gate = s.gate.row(token);
  for (int i = 0; i < num_live; ++i) gate[neurons[i]] *= up[neurons[i]];
}

void FfnBlock::add_live(int token, int thread) const {
  const Products::Form form = Products::adapted({true, false}, {&adapters_.down});
  const Activations input =
      products_.prepare_alone(activated().row(token), shape_.intermediate_size, form, thread);
  const Range rows = share_of(products_.graph.config.hidden_size, thread, products_.num_threads, kColumnRows);
  float* out = products_.scratch.residual.row(token);
  products_.kernels().neuron_columns(layer_.down_columns, rows.begin, rows.end, input, out);
  products_.lift(adapters_.down, 1, out, 0, {rows.begin / kPanelRows, rows.end / kPanelRows}, thread);
}

}  // namespace phonelm
