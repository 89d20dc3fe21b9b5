#include <cstdlib>

#include "core/error.h"
#include "kernels/tables.h"

namespace phonelm {

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found{&kScalarKernels};
#if defined(PHONELM_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    found.push_back(&kAvx2Kernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni")) {
      found.push_back(&kAvx512Kernels);
    }
  }
#endif
  return found;
}

const Kernels& select_kernels(const std::string& name) {
  const auto available = available_kernels();
  std::string wanted = name;
  if (wanted.empty()) {
    const char* forced = std::getenv("PHONELM_ISA");
    if (forced) wanted = forced;
  }
  if (wanted.empty()) return *available.back();
  std::string names;
  for (const Kernels* kernels : available) {
    if (wanted == kernels->name) return *kernels;
    names += std::string(names.empty() ? "" : ", ") + kernels->name;
  }
  throw Error("instruction set '" + wanted + "' is not known or not in this machine; take one of: " + names);
}

}  // namespace phonelm
