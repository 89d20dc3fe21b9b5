// From a file to a model: every tensor is checked first, then the memory is taken, then the weights are
// packed, so that a broken file costs no memory.
#pragma once

#include <cstddef>
#include <string>

#include "graph/model.h"
#include "graph/weight_plan.h"

namespace phonelm {

// What a load would make of a file.
struct Outline {
  std::string description;  // as `describe` writes it
  size_t weight_bytes;      // in memory, packed
  // Of keys and values, for one token.
  size_t kv_bytes_f16;
  size_t kv_bytes_q8_0;
};

class Loader {
 public:
  // Throws as `Model::load` does, and so does `run`, which is called once.
  Loader(const std::string& path, const LoadOptions& options);
  std::shared_ptr<Model> run();
  // Instead of `run`: every tensor is checked, no weight is read, and nothing is allocated for them.
  Outline outline();

 private:
  void plan_model(WeightPlan& plan);
  void plan_norm(WeightPlan& plan, const std::string& name, int size, Norm& norm);
  void plan_attention(WeightPlan& plan, const std::string& block, const LayerShape& shape, Layer& layer);
  void plan_ffn(WeightPlan& plan, const std::string& block, const FfnShape& shape, Layer& layer);
  // Whether there is a tensor of so many rows: gate and up, for example, one below the other.
  bool has_rows(const std::string& name, int num_rows) const;
  // Whether a matrix of the FFN can be stored neuron by neuron.
  bool fits_neurons(const std::string& name, int intermediate_size) const;
  void require_room(size_t weight_bytes) const;
  ThreadChoice measured_choice() const;
  void pack(const WeightPlan::Matrix& matrix);
  void copy(const WeightPlan::Vector& vector);

  std::shared_ptr<Model> model_;
  const LoadOptions options_;
  int num_threads_ = 1;
};

}  // namespace phonelm
