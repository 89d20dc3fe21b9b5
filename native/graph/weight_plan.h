// Which tensors of a file go where in the memory of a model's weights: made, and every name, type and shape
// checked, before any of that memory is there.
#pragma once

#include <functional>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "graph/layer.h"

namespace phonelm {

class WeightPlan {
 public:
  // A matrix, or some rows of one: `pack(begin, end, source, target)` packs some of its panels, rows or
  // groups.
  struct Matrix {
    const TensorInfo* tensor;
    const std::byte* source;
    const std::byte** data;
    size_t offset;
    int num_units;
    std::function<void(int, int, const std::byte*, std::byte*)> pack;
  };
  struct Vector {
    const std::byte* source;
    size_t num_bytes;
    const float** data;
    size_t offset;
  };
  // Rows of a tensor that holds several matrices, one below the other.
  struct Part {
    int rows;
    Linear* target;
  };

  explicit WeightPlan(const GgufFile& file) : file_(file) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  // These throw Error for a tensor that is missing, or of another shape or type, by its name.
  void matrix(const std::string& name, int rows, int cols, PackedMatrix* target);
  void neuron_rows(const std::string& name, int rows, int cols, NeuronRows* target);
  void neuron_columns(const std::string& name, int rows, int cols, NeuronColumns* target);
  void vector(const std::string& name, int size, const float** target);
  // `name`.weight, and `name`.bias where the file has one.
  void linear(const std::string& name, int rows, int cols, Linear* target);
  void stacked(const std::string& name, std::initializer_list<Part> parts, int cols);
  // Counts a tensor as used that was read elsewhere.
  void claim(const std::string& name) { claimed_.insert(name); }
  // Throws Error for tensors that nothing uses, by their names.
  void refuse_others(const std::string& architecture) const;
  // Gives the vectors their places, side by side (among the matrices, each would make a huge page resident
  // before its time), and sorts the matrices by their places in the file.
  void finish();

  size_t num_bytes() const { return num_bytes_; }
  const std::vector<Matrix>& matrices() const { return matrices_; }
  const std::vector<Vector>& vectors() const { return vectors_; }

 private:
  const TensorInfo& find(const std::string& name, int rows, int cols);
  const TensorInfo& find_vector(const std::string& name, int size);
  size_t reserve(size_t num_bytes);
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const;

  const GgufFile& file_;
  std::vector<Matrix> matrices_;
  std::vector<Vector> vectors_;
  std::set<std::string> claimed_;
  size_t num_bytes_ = 0;
};

}  // namespace phonelm
