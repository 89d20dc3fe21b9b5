#include "graph/weight_plan.h"

#include <algorithm>

#include "core/error.h"
#include "core/printable.h"

namespace phonelm {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMaxNames = 8;

template <typename Matrix, typename Pack>
auto packer(Matrix* target, Pack pack) {
  return [target, pack](int begin, int end, const std::byte* source, std::byte* out) {
    pack(*target, source, begin, end, out);
  };
}

}  // namespace

void WeightPlan::matrix(const std::string& name, int rows, int cols, PackedMatrix* target) {
  const TensorInfo& tensor = find(name, rows, cols);
  *target = packed_layout(tensor.type, rows, cols);
  matrices_.push_back({&tensor, tensor.data, &target->data, reserve(target->num_bytes()), target->num_panels,
                       packer(target, pack_panels)});
}

void WeightPlan::neuron_rows(const std::string& name, int rows, int cols, NeuronRows* target) {
  const TensorInfo& tensor = find(name, rows, cols);
  *target = neuron_rows_layout(tensor.type, rows, cols);
  matrices_.push_back({&tensor, tensor.data, &target->data, reserve(target->num_bytes()), target->rows,
                       packer(target, pack_neuron_rows)});
}

void WeightPlan::neuron_columns(const std::string& name, int rows, int cols, NeuronColumns* target) {
  const TensorInfo& tensor = find(name, rows, cols);
  *target = neuron_columns_layout(tensor.type, rows, cols);
  matrices_.push_back({&tensor, tensor.data, &target->data, reserve(target->num_bytes()),
                       target->num_groups(), packer(target, pack_neuron_columns)});
}

void WeightPlan::vector(const std::string& name, int size, const float** target) {
  const TensorInfo& tensor = find_vector(name, size);
  vectors_.push_back({tensor.data, tensor.num_bytes, target, 0});
}

void WeightPlan::linear(const std::string& name, int rows, int cols, Linear* target) {
  stacked(name, {{rows, target}}, cols);
}

void WeightPlan::stacked(const std::string& name, std::initializer_list<Part> parts, int cols) {
  int num_rows = 0;
  for (const Part& part : parts) num_rows += part.rows;
  const TensorInfo& weight = find(name + ".weight", num_rows, cols);
  const bool has_bias = has(name + ".bias");
  const TensorInfo* bias = has_bias ? &find_vector(name + ".bias", num_rows) : nullptr;
  const size_t row_bytes = weight.num_bytes / static_cast<size_t>(num_rows);
  size_t row = 0;
  for (const auto& [rows, target] : parts) {
    static_cast<PackedMatrix&>(*target) = packed_layout(weight.type, rows, cols);
    PackedMatrix* matrix = target;
    matrices_.push_back({&weight, weight.data + row * row_bytes, &matrix->data, reserve(matrix->num_bytes()),
                         matrix->num_panels, packer(matrix, pack_panels)});
    const size_t bias_bytes = static_cast<size_t>(rows) * sizeof(float);
    if (bias) vectors_.push_back({bias->data + row * sizeof(float), bias_bytes, &target->bias, 0});
    row += static_cast<size_t>(rows);
  }
}

void WeightPlan::refuse_others(const std::string& architecture) const {
  std::string names;
  size_t count = 0;
  for (const TensorInfo& tensor : file_.tensors()) {
    if (claimed_.contains(tensor.name) || ++count > kMaxNames) continue;
    names += (names.empty() ? "" : ", ") + printable(tensor.name);
  }
  if (count == 0) return;
  if (count > kMaxNames) names += " and " + std::to_string(count - kMaxNames) + " more";
  throw Error(file_.path() + ": tensor" + (count > 1 ? "s " : " ") + names + (count > 1 ? " are" : " is") +
              " not part of a " + architecture + " model as this runtime builds it; take another file");
}

void WeightPlan::finish() {
  for (Vector& vector : vectors_) vector.offset = reserve(vector.num_bytes);
  std::sort(matrices_.begin(), matrices_.end(),
            [](const Matrix& a, const Matrix& b) { return a.source < b.source; });
}

const TensorInfo& WeightPlan::find(const std::string& name, int rows, int cols) {
  const TensorInfo* tensor = file_.find_tensor(name);
  if (!tensor) refuse(name, "is missing");
  const auto& dims = tensor->dims;
  if (dims[0] != static_cast<uint64_t>(cols) || dims[1] != static_cast<uint64_t>(rows) || dims[2] != 1 ||
      dims[3] != 1) {
    refuse(name, "has shape " + std::to_string(dims[0]) + " x " + std::to_string(dims[1]) + ", not " +
                     std::to_string(cols) + " x " + std::to_string(rows));
  }
  claim(name);
  return *tensor;
}

const TensorInfo& WeightPlan::find_vector(const std::string& name, int size) {
  const TensorInfo& tensor = find(name, 1, size);
  if (tensor.type != TensorType::F32) refuse(name, "is not F32");
  return tensor;
}

size_t WeightPlan::reserve(size_t num_bytes) {
  const size_t offset = num_bytes_;
  num_bytes_ += round_up(num_bytes, kAlignment);
  return offset;
}

void WeightPlan::refuse(const std::string& name, const std::string& what) const {
  throw Error(file_.path() + ": tensor " + name + " " + what + "; take another file");
}

}  // namespace phonelm
