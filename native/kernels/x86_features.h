// What the processor can do and the system keeps for each thread. By the instruction itself: what compilers
// offer for it is not filled in on all systems.
#pragma once

namespace phonelm {

struct X86Features {
  bool has_avx2;    // with FMA and F16C
  bool has_avx512;  // with BW, DQ, VL and VNNI
  bool has_avx512_bf16;
  bool has_int8_tiles;  // of AMX; the system may still have to be asked
};

const X86Features& x86_features();

}  // namespace phonelm
