#include "graph/pass.h"

#include "graph/attention_block.h"
#include "graph/ffn_block.h"
#include "graph/rope.h"

namespace phonelm {

void Pass::run_layers(int thread) const {
  for (const Operator& op : products_.graph.operators) {
    if (op.kind != OperatorKind::Head) run(op, thread);
  }
}

void Pass::observe(int thread) const {
  const ObservedRows& observed = *products_.observed_rows();
  const Rows* head = observed.of_head();
  for (const Operator& op : products_.graph.operators) {
    if (op.kind != OperatorKind::Head && (head || op.layer < observed.end_layer())) run(op, thread);
  }
  if (!head) return;
  Products::Form form{false, true};
  form.copy = head;
  products_.prepare_normed(products_.graph.output_norm, form, thread);
}

void Pass::run(const Operator& op, int thread) const {
  switch (op.kind) {
    case OperatorKind::Embed:
      return embed(thread);
    case OperatorKind::Project:
      return AttentionBlock(products_, op.layer).project(thread);
    case OperatorKind::Attend:
      return AttentionBlock(products_, op.layer).attend(thread);
    case OperatorKind::AddAttention:
      return AttentionBlock(products_, op.layer).add_to_residual(thread);
    case OperatorKind::Ffn:
      return FfnBlock(products_, op.layer).run(thread);
    case OperatorKind::NeuronFfn:
      return FfnBlock(products_, op.layer).run_by_neuron(thread);
    case OperatorKind::Head:
      return;
  }
}

void Pass::embed(int thread) const {
  const Graph& graph = products_.graph;
  const ModelConfig& config = graph.config;
  const Scratch& s = products_.scratch;
  const Range share = share_of(products_.num_tokens(), thread, products_.num_threads);
  for (int token = share.begin; token < share.end; ++token) {
    float* residual = s.residual.row(token);
    unpack_row(graph.embedding, products_.tokens[static_cast<size_t>(token)], residual);
    if (config.embedding_scale != 1.0f) {
      graph.kernels.scale(residual, config.hidden_size, config.embedding_scale);
    }
    const Plan::Place& place = products_.plan.place(token);
    rope_angles(config, place.rope_position(), place.is_long, s.cosines.row(token), s.sines.row(token));
  }
  products_.barrier();
  products_.lap(Part::Overhead, thread);
}

Range Pass::head_share(int thread) const {
  return share_of(products_.graph.head.num_panels, thread, products_.num_threads);
}

void Pass::run_head(std::span<const int32_t> rows, bool batch_invariant, float* out, int stride,
                    int thread) const {
  const int num_rows = static_cast<int>(rows.size());
  const auto row_of = [&](int i) { return rows[static_cast<size_t>(i)]; };
  const Graph& graph = products_.graph;
  const LowRank& adapter = products_.head_adapter();
  Products::Form form = Products::adapted(Products::form_for({&graph.head}), {&adapter});
  form.batch_invariant = batch_invariant;
  const Activations input = products_.prepare_normed(num_rows, row_of, graph.output_norm, form, thread);
  const Range share = head_share(thread);
  graph.kernels.matmul(graph.head, share.begin, share.end, input, out, stride, false);
  products_.lift(adapter, num_rows, out, stride, share, thread);
}

}  // namespace phonelm
