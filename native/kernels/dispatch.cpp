#include <cstdlib>

#include "core/error.h"
#include "kernels/tables.h"

#if defined(PHONELM_X86) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(PHONELM_ARM64) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace phonelm {

namespace {

#if defined(PHONELM_X86)
// Whether the processor has tiles and multiplies int8 with them, and the system lets this process use them.
bool may_use_tiles() {
#if defined(__linux__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kTileAndInt8 = (1u << 24) | (1u << 25);
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & kTileAndInt8) != kTileAndInt8) return false;
  // Linux gives the tiles' 8 KiB of state only to a process that has asked; all its threads have them then.
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}
#elif defined(PHONELM_ARM64)
// What Linux says of the processor, by the bits of its hwcap.h; elsewhere the base is all there is for sure.
#if defined(__linux__)
bool has_dotprod() { return getauxval(AT_HWCAP) & (1ul << 20); }  // HWCAP_ASIMDDP
bool has_i8mm() { return getauxval(AT_HWCAP2) & (1ul << 13); }    // HWCAP2_I8MM
#else
bool has_dotprod() { return false; }
bool has_i8mm() { return false; }
#endif
#endif

}  // namespace

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found{&kScalarKernels};
#if defined(PHONELM_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    found.push_back(&kAvx2Kernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni")) {
      found.push_back(&avx512_kernels());
      if (may_use_tiles()) found.push_back(&amx_kernels());
    }
  }
#elif defined(PHONELM_ARM64)
  found.push_back(&kNeonKernels);
  if (has_dotprod()) {
    found.push_back(&kDotprodKernels);
    if (has_i8mm()) found.push_back(&kI8mmKernels);
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
