#include "kernels/x86_features.h"

#if defined(PHONELM_X86)
#include <cpuid.h>

#include <initializer_list>

namespace phonelm {

namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero for a leaf that the processor does not have.
Registers leaf(unsigned number, unsigned part) {
  Registers found;
  __get_cpuid_count(number, part, &found.eax, &found.ebx, &found.ecx, &found.edx);
  return found;
}

bool all_of(unsigned value, std::initializer_list<int> bits) {
  for (const int bit : bits) {
    if ((value >> bit & 1) == 0) return false;
  }
  return true;
}

// The registers that the system saves when threads change (XCR0).
unsigned saved_registers() {
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// The bits are those of Intel's manual, volume 2A, CPUID, and volume 1, 13.3.
X86Features read_features() {
  X86Features features{};
  const Registers basic = leaf(1, 0);
  if (!all_of(basic.ecx, {12, 27, 28, 29})) return features;  // FMA, OSXSAVE, AVX, F16C
  const unsigned saved = saved_registers();
  const Registers more = leaf(7, 0);
  features.has_avx2 = all_of(saved, {1, 2}) && all_of(more.ebx, {5});
  features.has_avx512 = features.has_avx2 && all_of(saved, {5, 6, 7}) && all_of(more.ebx, {16, 17, 30, 31}) &&
                        all_of(more.ecx, {11});
  features.has_avx512_bf16 = features.has_avx512 && all_of(leaf(7, 1).eax, {5});
  features.has_int8_tiles = features.has_avx512 && all_of(saved, {17, 18}) && all_of(more.edx, {24, 25});
  return features;
}

}  // namespace

// Read once: in a virtual machine each CPUID is a call of the host.
const X86Features& x86_features() {
  static const X86Features features = read_features();
  return features;
}

}  // namespace phonelm
#endif
