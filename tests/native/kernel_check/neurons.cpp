// Kernels of ReLU FFNs stored neuron by neuron, and the way back into panels.
#include <string>
#include <vector>

#include "checks.h"

namespace phonelm {
namespace {

float tolerance(TensorType type, int cols) {
  const float largest = type == TensorType::Q8_0 ? 128.0f : 8.0f;
  return kRounding * largest * static_cast<float>(cols);
}

}  // namespace

void check_neuron_rows(const Kernels& kernels, Random& random, TensorType type) {
  const int rows = random.between(1, 30);
  const int cols = kGroupSize * random.between(1, 40);
  NeuronRows matrix = neuron_rows_layout(type, rows, cols);
  const auto blocks = random_blocks(random, type, rows, cols);
  const Guarded<std::byte> packed(matrix.num_bytes());
  pack_neuron_rows(matrix, blocks.data(), 0, rows, packed.data());
  matrix.data = packed.data();
  const RandomInput memory(random, 1, cols);
  const Activations input = memory.view(1, cols);
  quantize_all(scalar(), input);
  std::vector<int32_t> neurons;
  for (int i = 0; i < rows; ++i) {
    if (random.chance(0.6)) neurons.push_back(i);
  }
  const Guarded<int8_t> scratch(2 * runs_bytes(cols));
  const Outputs out(random, static_cast<size_t>(rows));
  const int num_neurons = static_cast<int>(neurons.size());
  kernels.neuron_rows(matrix, neurons.data(), num_neurons, input, scratch.data(), out.values.data());
  scalar().neuron_rows(matrix, neurons.data(), num_neurons, input, scratch.data(), out.expected.data());
  require_near(out.values, out.expected, tolerance(type, cols));
}

void check_neuron_columns(const Kernels& kernels, Random& random, TensorType type) {
  const int rows = kColumnRows * random.between(1, 4);
  const int cols = kGroupSize * random.between(1, 12);
  NeuronColumns matrix = neuron_columns_layout(type, rows, cols);
  const auto blocks = random_blocks(random, type, rows, cols);
  const Guarded<std::byte> packed(matrix.num_bytes());
  pack_neuron_columns(matrix, blocks.data(), 0, matrix.num_groups(), packed.data());
  matrix.data = packed.data();
  const double live[] = {0.02, 0.1, 0.5, 1.0};
  const RandomInput memory(random, 1, cols, live[random.between(0, 3)]);
  const Activations input = memory.view(1, cols);
  quantize_all(scalar(), input);
  const int begin = kColumnRows * random.between(0, rows / kColumnRows - 1);
  const int end = kColumnRows * random.between(begin / kColumnRows + 1, rows / kColumnRows);
  const Outputs out(random, static_cast<size_t>(rows));
  kernels.neuron_columns(matrix, begin, end, input, out.values.data());
  scalar().neuron_columns(matrix, begin, end, input, out.expected.data());
  require_near(out.values, out.expected, tolerance(type, cols));
}

// The two ways of turning neurons back into panels, of which one is written for each processor.
void check_to_panel(Random& random, TensorType type) {
  const int rows = kColumnRows * random.between(1, 3);
  const int cols = kGroupSize * random.between(1, 20);
  const auto blocks = random_blocks(random, type, rows, cols);
  const PackedMatrix matrix = packed_layout(type, rows, cols);
  const Guarded<std::byte> expected(matrix.num_bytes());
  pack_panels(matrix, blocks.data(), 0, matrix.num_panels, expected.data());
  const Guarded<std::byte> panel(matrix.panel_bytes);
  const auto check = [&](auto stored, auto pack, int end) {
    const Guarded<std::byte> packed(stored.num_bytes());
    pack(stored, blocks.data(), 0, end, packed.data());
    stored.data = packed.data();
    for (int i = 0; i < matrix.num_panels; ++i) {
      to_panel(stored, i, panel.data());
      require(std::memcmp(panel.data(), expected.data() + static_cast<size_t>(i) * matrix.panel_bytes,
                          matrix.panel_bytes) == 0,
              "panel " + std::to_string(i));
    }
  };
  check(neuron_rows_layout(type, rows, cols), pack_neuron_rows, rows);
  check(neuron_columns_layout(type, rows, cols), pack_neuron_columns, cols / kGroupSize);
}

}  // namespace phonelm
