#include "graph/operators.h"

#include <algorithm>

#include "kernels/packed.h"
#include "threads/pool.h"

namespace phonelm {

namespace {

// Rows up to the next number of which every thread gets as many whole panels as the one with most: the others
// wait for it.
int evenly(int rows, int num_threads) {
  const size_t share = static_cast<size_t>(kPanelRows) * static_cast<size_t>(num_threads);
  return static_cast<int>(round_up(static_cast<size_t>(rows), share));
}

OperatorSizes attention_sizes(const AttentionShape& shape, const Phase& phase) {
  return {"attention",
          Part::Attention,
          {{{"head_dim", shape.head_dim},
            {"group", shape.group_size()},
            {"kv_heads", shape.num_kv_heads},
            {"context", std::min(phase.context, std::max(shape.window, phase.num_tokens))}}}};
}

OperatorSizes ffn_sizes(const FfnShape& shape, int hidden_size, const Phase& phase) {
  return {shape.gated ? "ffn_gated" : "ffn_plain",
          Part::Ffn,
          {{{"hidden", hidden_size}, {"intermediate", evenly(shape.intermediate_size, phase.num_threads)}}}};
}

OperatorSizes neuron_sizes(const FfnShape& shape, int hidden_size) {
  return {shape.gated ? "neurons_gated" : "neurons_plain",
          Part::Ffn,
          {{{"hidden", hidden_size}, {"intermediate", shape.intermediate_size}}}};
}

}  // namespace

std::vector<Operator> operators(const ModelConfig& config, const std::function<bool(int)>& by_neuron) {
  std::vector<Operator> list{{OperatorKind::Embed}};
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    for (const OperatorKind kind :
         {OperatorKind::Project, OperatorKind::Attend, OperatorKind::AddAttention}) {
      list.push_back({kind, layer});
    }
    list.push_back({by_neuron(layer) ? OperatorKind::NeuronFfn : OperatorKind::Ffn, layer});
  }
  list.push_back({OperatorKind::Head});
  return list;
}

OperatorSizes sizes_of(const Operator& op, const ModelConfig& config, const Phase& phase) {
  const int hidden = config.hidden_size;
  const auto even = [&phase](int rows) { return evenly(rows, phase.num_threads); };
  if (op.kind == OperatorKind::Embed) return {"embed", Part::Overhead, {{{"hidden", hidden}}}};
  if (op.kind == OperatorKind::Head)
    return {"head", Part::Head, {{{"vocab", even(config.vocab_size)}, {"hidden", hidden}}}};
  const LayerShape& layer = config.layer(op.layer);
  const AttentionShape& attention = layer.attention;
  switch (op.kind) {
    case OperatorKind::Project:
      return {"project",
              Part::Projections,
              {{{"rows", even(attention.width()) + 2 * even(attention.kv_width())}, {"hidden", hidden}}}};
    case OperatorKind::Attend:
      return attention_sizes(attention, phase);
    case OperatorKind::AddAttention:
      return {"add_attention", Part::Projections, {{{"hidden", even(hidden)}, {"width", attention.width()}}}};
    case OperatorKind::NeuronFfn:
      return neuron_sizes(layer.ffn, hidden);
    default:
      return ffn_sizes(layer.ffn, hidden, phase);
  }
}

}  // namespace phonelm
