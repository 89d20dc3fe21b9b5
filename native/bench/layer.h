// One layer of random weights with what a pass needs besides, for the graph's operators to run on.
#pragma once

#include <functional>

#include "bench/inputs.h"
#include "graph/pass.h"

namespace phonelm {

// What an operator is measured on.
struct LayerSizes {
  TensorType type = TensorType::Q4_0;  // of the weights
  int hidden_size = kPanelRows;
  LayerShape shape{};
  int num_layers = 1;  // of the KV cache
  int num_tokens = 1;
  int context = 1;
};

class BenchLayer {
 public:
  BenchLayer(Bench& bench, const LayerSizes& sizes);

  // Weights that the operator reads. Those of a call lie one behind the other; the next call's follow them
  // through the footprint, as a model's next layer does.
  void add(Linear Layer::* matrix, int rows, int cols);
  void add_neuron_rows(int rows, int cols);
  void add_neuron_columns(int rows, int cols);
  // Decides which neurons are live: a bias of the first matrix that outweighs its products, another for every
  // call, because a branch predictor would learn one that comes again.
  void add_live_pattern(Linear Layer::* first, int num_neurons, int live_percent);

  // Seconds of one call. `outputs` are rows that the next operator reads.
  double time(OperatorKind kind, std::initializer_list<Rows Scratch::*> outputs);
  // The same with the rest of a model's weights read before each call, on the next layer's keys and values.
  double time_attention(const KvCache& cache);
  double time_head(int vocab_size);
  // With the team woken for each call, and other tokens in each.
  double time_embed(int vocab_size);

 private:
  // A thread's own layer, whose weights it moves on, and the embedding or head.
  struct Own {
    std::vector<Layer> layers;
    PackedMatrix outer;
  };
  struct Weights {
    size_t num_bytes;
    std::function<void(Own&, const std::byte*)> place;
  };

  void add(size_t num_bytes, std::function<void(Own&, const std::byte*)> place);
  void add_outer(TensorType type, int rows);
  size_t layer_bytes() const;
  void set_weights(Own& own, const std::byte* memory, int call) const;
  std::vector<Pass> passes(const Scratch& scratch, const Plan& plan) const;
  Plan plan(const KvCache* cache) const;
  // Seconds of `run(pass, thread)` on the weights of one call after the other.
  template <typename Run>
  double time_passes(const std::vector<Pass>& passes, Run run);

  Bench& bench_;
  const LayerSizes sizes_;
  const ModelConfig config_;
  const std::vector<Operator> no_operators_;
  std::vector<int32_t> tokens_;
  Rows norm_weights_;
  Norm norm_;
  std::vector<Weights> weights_;
  std::vector<Own> own_;
  std::vector<float> live_pattern_;
  Linear Layer::* live_matrix_ = nullptr;
};

}  // namespace phonelm
