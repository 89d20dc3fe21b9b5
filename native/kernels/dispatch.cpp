#include <cstdlib>

#include "core/error.h"
#include "kernels/tables.h"
#include "kernels/x86_features.h"
#include "system/machine.h"

#if defined(PHONELM_X86) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace phonelm {

namespace {

#if defined(PHONELM_X86)
// Whether the system lets this process use tiles.
bool may_use_tiles() {
#if defined(__linux__)
  // Linux gives the tiles' 8 KiB of state only to a process that has asked; all its threads have them then.
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}
#endif

}  // namespace

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found{&kScalarKernels};
#if defined(PHONELM_X86)
  const X86Features& features = x86_features();
  if (features.has_avx2) found.push_back(&kAvx2Kernels);
  if (features.has_avx512) found.push_back(&avx512_kernels());
  if (features.has_int8_tiles && may_use_tiles()) found.push_back(&amx_kernels());
#elif defined(PHONELM_ARM64)
  found.push_back(&kNeonKernels);
  if (system::has_dotprod()) {
    found.push_back(&kDotprodKernels);
    if (system::has_i8mm()) found.push_back(&kI8mmKernels);
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
