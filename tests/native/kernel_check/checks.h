// One random case of a kernel each: throws std::runtime_error where it differs from the scalar one.
#pragma once

#include <stdexcept>
#include <string>

#include "inputs.h"

namespace phonelm {

inline const Kernels& scalar() { return *available_kernels().front(); }

// The integer sums are exact and each group's rounding to float is bounded by what it adds, so that sums may
// differ by a few 2^-24 of the sum of all products' sizes.
inline constexpr float kRounding = 2e-6f;

inline void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}
void require_near(const std::string& what, float value, float expected, float tolerance);
void require_near(const Guarded<float>& values, const Guarded<float>& expected, float tolerance);

// What a kernel writes to or adds to, and the same for the scalar one.
struct Outputs {
  Guarded<float> values;
  Guarded<float> expected;

  Outputs(Random& random, size_t size) : values(random_floats(random, size)), expected(size) {
    for (size_t i = 0; i < size; ++i) expected[i] = values[i];
  }
};

void check_matmul(const Kernels& kernels, Random& random, TensorType type);
// That a batch gives each token, to the bit, what it gets alone, where this is asked for.
void check_exact_matmul(const Kernels& kernels, Random& random, TensorType type);
void check_half_panels(const Kernels& kernels, Random& random);
void check_byte_keys_and_values(const Kernels& kernels, Random& random);
void check_byte_keys(const Kernels& kernels, Random& random);
void check_byte_values(const Kernels& kernels, Random& random);
void check_quantize(const Kernels& kernels, Random& random);
void check_neuron_rows(const Kernels& kernels, Random& random, TensorType type);
void check_neuron_columns(const Kernels& kernels, Random& random, TensorType type);
void check_to_panel(Random& random, TensorType type);
void check_norm(const Kernels& kernels, Random& random);
void check_activate(const Kernels& kernels, Random& random);
void check_softmax(const Kernels& kernels, Random& random);
void check_to_half(const Kernels& kernels, Random& random);

}  // namespace phonelm
