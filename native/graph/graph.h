// What a pass runs over: the shape of a model and its weights, with the kernels, the threads and the working
// memory that it runs with.
#pragma once

#include <span>

#include "graph/layer.h"
#include "graph/operators.h"
#include "graph/scratch.h"
#include "threads/pool.h"

namespace phonelm {

struct Graph {
  const ModelConfig& config;
  const Kernels& kernels;
  ThreadPool& threads;
  // Only inside `threads.run`.
  const Scratch& scratch;
  const PackedMatrix& embedding;
  const PackedMatrix& head;
  const Norm& output_norm;
  std::span<const Layer> layers;
  std::span<const Operator> operators;

  const Layer& layer(int index) const { return layers[static_cast<size_t>(index)]; }
};

}  // namespace phonelm
