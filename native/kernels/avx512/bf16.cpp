// Attention over a batch with AVX512_BF16: `vdpbf16ps` adds two products a lane, twice what a multiply-add
// does, and runs at the same rate. Both sides are rounded to bfloat16 on the way (relative error 2^-9 a
// product, which the sums average out); what is stored stays fp16, and single tokens use it in full.
//
// Up to 16 rows of `a` are converted once for all panels. Of a panel, two steps of k become one register of
// pairs: two conversions, one rounding, one permutation for 16 products, so that 512 multiply-adds cost about
// 21 cycles where `vfmadd` takes 35.
#include "kernels/avx512/vectors.h"
#include "kernels/tables.h"

namespace phonelm {
namespace {

// Longer rows are left to the multiply-adds: their conversion would not stay in the first cache.
constexpr int kMaxK = 256;

template <int num>
struct Pairs {
  // Row r, numbers 2 i and 2 i + 1, at [r][i]; an odd last one is paired with 0.
  alignas(64) uint32_t rows[num][kMaxK / 2];

  Pairs(const float* a, int a_stride, int num_k) {
    for (int row = 0; row < num; ++row, a += a_stride) {
      for (int k = 0; k < num_k; k += 32) {
        const __m512bh both = _mm512_cvtne2ps_pbh(load(a, k + 16, num_k), load(a, k, num_k));
        _mm512_store_si512(&rows[row][k / 2], (__m512i)both);
      }
    }
  }

 private:
  static __m512 load(const float* a, int k, int num_k) {
    const int rest = num_k - k;
    if (rest >= 16) return _mm512_loadu_ps(a + k);
    return rest <= 0 ? _mm512_setzero_ps()
                     : _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << rest) - 1), a + k);
  }
};

// Columns of two steps of k side by side: lane c holds (w[c], next[c]).
inline __m512bh side_by_side(__m512 w, __m512 next) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (__m512bh)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(next, w));
}

template <int num>
inline void multiply_panel(const uint16_t* w, int stride, int num_k, const Pairs<num>& a, float* out,
                           int out_stride, bool accumulate) {
  __m512 sums[num];
  for (int row = 0; row < num; ++row) {
    sums[row] = accumulate ? _mm512_loadu_ps(out + row * out_stride) : _mm512_setzero_ps();
  }
  for (int k = 0; k < num_k; k += 2, w += 2 * stride) {
    const __m512 next = k + 1 < num_k ? load_halves(w + stride) : _mm512_setzero_ps();
    const __m512bh columns = side_by_side(load_halves(w), next);
#pragma GCC unroll 16
    for (int row = 0; row < num; ++row) {
      const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(a.rows[row][k / 2]));
      sums[row] = _mm512_dpbf16_ps(sums[row], columns, x);
    }
  }
  for (int row = 0; row < num; ++row) _mm512_storeu_ps(out + row * out_stride, sums[row]);
}

void half_panels(const HalfPanels& w, const float* a, int a_stride, int num_rows, float* out, int out_stride,
                 bool accumulate) {
  if (!w.may_round || w.num_k > kMaxK) {
    return kAvx512Kernels.half_panels(w, a, a_stride, num_rows, out, out_stride, accumulate);
  }
  // Whatever their number, so that a token's result does not depend on which others came with it.
  in_batches<16, 8, 4, 2, 1>(num_rows, [&]<int num>(int row) {
    const Pairs<num> pairs(a + row * a_stride, a_stride, w.num_k);
    for (int panel = 0; panel < w.num_panels; ++panel) {
      multiply_panel<num>(w.panel(panel), w.stride, w.num_k, pairs,
                          out + row * out_stride + panel * kPanelRows, out_stride, accumulate);
    }
  });
}

Kernels with_bf16() {
  Kernels kernels = kAvx512Kernels;
  kernels.half_panels = half_panels;
  return kernels;
}

}  // namespace

const Kernels& avx512_kernels() {
  static const Kernels kernels = with_bf16();
  return __builtin_cpu_supports("avx512bf16") ? kernels : kAvx512Kernels;
}

}  // namespace phonelm
