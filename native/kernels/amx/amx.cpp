// The tile unit of the processor. The instructions are written as such: GCC's intrinsics take no tile number
// from a template, and do not say that a tile load reads memory.
#include "kernels/amx/matmul.h"

namespace phonelm {
namespace {

// The registers belong to the thread while this lives; giving them back keeps context switches cheap.
class HardwareTiles {
 public:
  explicit HardwareTiles(const TileConfig& config) { asm volatile("ldtilecfg %0" ::"m"(config)); }
  ~HardwareTiles() { asm volatile("tilerelease"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  template <int tile>
  void load(const void* rows, size_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(tile), "r"(rows), "r"(stride) : "memory");
  }
  template <int tile>
  void store(void* rows, size_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(tile), "r"(rows), "r"(stride) : "memory");
  }
  template <int tile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(tile));
  }
  // dots += a times b, both signed.
  template <int dots, int a, int b>
  void multiply() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(dots), "i"(a), "i"(b));
  }
};

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels table = with_matmul("amx", matmul<HardwareTiles>);
  return table;
}

}  // namespace phonelm
