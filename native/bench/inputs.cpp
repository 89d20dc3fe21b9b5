#include "bench/inputs.h"

#include <random>

namespace phonelm {

void fill(const Rows& rows) {
  std::minstd_rand random(1);
  std::normal_distribution<float> normal;
  float values[1024];
  for (float& value : values) value = normal(random);
  auto* out = rows.buffer.as<float>();
  for (size_t i = 0; i < rows.buffer.size() / sizeof(float); ++i) out[i] = values[i * 7 % std::size(values)];
}

Activations filled_input(const Kernels& kernels, const InputBuffer& memory, int num_tokens, int cols) {
  const Activations input = memory.view(num_tokens, cols);
  Rows values(1, cols);
  fill(values);
  for (int token = 0; token < num_tokens; ++token) {
    std::copy_n(values.row(0), cols, memory.values(token));
    kernels.quantize(memory.values(token), token, input);
  }
  return input;
}

void read_back(const Bench& bench, const Rows& rows, int num_tokens, int thread) {
  const Range share = num_tokens == 1 ? Range{0, 1} : bench.share(num_tokens, thread, kTokenBlock);
  for (int token = share.begin; token < share.end; ++token) {
    for (int i = 0; i < rows.stride; i += kPanelRows) {
      const volatile float* line = rows.row(token) + i;
      static_cast<void>(*line);
    }
  }
}

}  // namespace phonelm
