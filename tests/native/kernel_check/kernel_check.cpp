// Every kernel of every instruction set that this machine can run against the scalar one, over seeded random
// shapes, tails included. Needs nothing but the core, so that it also runs on a phone or under an emulator:
//
//   kernel_check [cases [seed]]   so many cases of each kernel and type; exits 1 at the first that differs
//   kernel_check choose           names the table that would be used, or exits 2 with the error
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "checks.h"
#include "core/error.h"

namespace phonelm {

void require_near(const std::string& what, float value, float expected, float tolerance) {
  if (std::fabs(value - expected) <= tolerance) return;
  char text[96];
  std::snprintf(text, sizeof text, ": %.9g, not %.9g (may differ by %.2g)", static_cast<double>(value),
                static_cast<double>(expected), static_cast<double>(tolerance));
  throw std::runtime_error(what + text);
}

void require_near(const Guarded<float>& values, const Guarded<float>& expected, float tolerance) {
  for (size_t i = 0; i < values.size(); ++i) {
    require_near("number " + std::to_string(i), values[i], expected[i], tolerance);
  }
}

namespace {

constexpr TensorType kNeuronTypes[] = {TensorType::Q4_0, TensorType::Q8_0};

class Checks {
 public:
  Checks(int num_cases, unsigned seed) : num_cases_(num_cases), seed_(seed) {}

  void run(const Kernels& table) {
    name_ = table.name;
    for (const TensorType type : kTensorTypes) {
      each("matmul", type, [&](Random& random) { check_matmul(table, random, type); });
      each("exact matmul", type, [&](Random& random) { check_exact_matmul(table, random, type); });
    }
    for (const TensorType type : kNeuronTypes) {
      each("neuron_rows", type, [&](Random& random) { check_neuron_rows(table, random, type); });
      each("neuron_columns", type, [&](Random& random) { check_neuron_columns(table, random, type); });
      each("to_panel", type, [&](Random& random) { check_to_panel(random, type); });
    }
    each("half_panels", [&](Random& random) { check_half_panels(table, random); });
    each("byte_keys_and_values", [&](Random& random) { check_byte_keys_and_values(table, random); });
    each("byte_keys", [&](Random& random) { check_byte_keys(table, random); });
    each("byte_values", [&](Random& random) { check_byte_values(table, random); });
    each("quantize", [&](Random& random) { check_quantize(table, random); });
    each("norm", [&](Random& random) { check_norm(table, random); });
    each("activate", [&](Random& random) { check_activate(table, random); });
    each("softmax", [&](Random& random) { check_softmax(table, random); });
    each("to_half", [&](Random& random) { check_to_half(table, random); });
  }

  int num_differing() const { return num_differing_; }

 private:
  template <typename Check>
  void each(const char* kernel, TensorType type, Check check) {
    each((std::string(kernel) + " " + tensor_type_name(type)).c_str(), check);
  }
  // Stops a kernel at its first case that differs.
  template <typename Check>
  void each(const char* kernel, Check check) {
    for (int i = 0; i < num_cases_; ++i) {
      const unsigned seed = seed_ + static_cast<unsigned>(i);
      Random random(seed);
      try {
        check(random);
      } catch (const std::runtime_error& error) {
        std::printf("%s: %s: DIFFERS with seed %u: %s\n", name_, kernel, seed, error.what());
        ++num_differing_;
        return;
      }
    }
    std::printf("%s: %s: %d cases\n", name_, kernel, num_cases_);
  }

  int num_cases_;
  unsigned seed_;
  const char* name_ = "";
  int num_differing_ = 0;
};

int choose() {
  try {
    std::printf("%s\n", select_kernels("").name);
    return 0;
  } catch (const Error& error) {
    std::printf("%s\n", error.what());
    return 2;
  }
}

int compare_all(int num_cases, unsigned seed) {
  Checks checks(num_cases, seed);
  for (const Kernels* table : available_kernels()) checks.run(*table);
  return checks.num_differing() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace phonelm

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "choose") == 0) return phonelm::choose();
  const int num_cases = argc > 1 ? std::atoi(argv[1]) : 50;
  const int seed = argc > 2 ? std::atoi(argv[2]) : 1;
  return phonelm::compare_all(num_cases, static_cast<unsigned>(seed));
}
