// The operators of a forward pass, in order. This is the only list of them: a pass executes it, the bench
// times the functions behind it, and the cost model prices it.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "graph/config.h"
#include "graph/part_clock.h"

namespace phonelm {

enum class OperatorKind {
  Embed,         // the tokens' rows of the embedding, and their rotary angles
  Project,       // norm, then queries, keys and values
  Attend,        // rotation, the KV cache, and attention itself
  AddAttention,  // attention's output matrix, added to the residual
  Ffn,           // norm, FFN, added to the residual
  NeuronFfn,     // the same of a ReLU FFN stored neuron by neuron
  Head,          // norm and logits
};

struct Operator {
  OperatorKind kind;
  int layer = 0;  // of those that belong to one
};

// `by_neuron(layer)`: whether a layer's FFN is stored neuron by neuron.
std::vector<Operator> operators(const ModelConfig& config, const std::function<bool(int)>& by_neuron);

// What is evaluated together, and by how many threads.
struct Phase {
  int num_tokens = 1;
  int context = 1;  // tokens of the sequence at the end, the new ones included
  int num_threads = 1;
};

// What an operator's time follows from, by the names of the measuring protocol and of the cost tables.
struct OperatorSizes {
  struct Size {
    const char* name = nullptr;
    int value = 0;
  };

  const char* name;
  Part part;
  std::array<Size, 4> sizes;  // those with a name
};

OperatorSizes sizes_of(const Operator& op, const ModelConfig& config, const Phase& phase);

}  // namespace phonelm
