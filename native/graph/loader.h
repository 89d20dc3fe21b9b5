// From a file to a model: every tensor is checked first, then the memory is taken, then the weights are
// packed, so that a broken file costs no memory.
#pragma once

#include "graph/model.h"
#include "graph/weight_plan.h"

namespace phonelm {

class Loader {
 public:
  // Throws as `Model::load` does, and so does `run`, which is called once.
  Loader(const std::string& path, const LoadOptions& options);
  std::shared_ptr<Model> run();

 private:
  void plan_model(WeightPlan& plan);
  void plan_attention(WeightPlan& plan, const std::string& block, Layer& layer);
  void plan_ffn(WeightPlan& plan, const std::string& block, Layer& layer);
  // Whether a tensor holds gate and up, one below the other.
  bool is_stacked(const std::string& name) const;
  // Whether a matrix of the FFN can be stored neuron by neuron.
  bool fits(const std::string& name) const;
  void require_room(size_t weight_bytes) const;
  ThreadChoice measured_choice() const;
  void pack(const WeightPlan::Matrix& matrix);
  void copy(const WeightPlan::Vector& vector);

  std::shared_ptr<Model> model_;
  const LoadOptions options_;
  int num_threads_ = 1;
};

}  // namespace phonelm
