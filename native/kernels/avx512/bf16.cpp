// Attention over a batch with AVX512_BF16: `vdpbf16ps` adds two products a lane, twice what a multiply-add
// does, and runs at the same rate. Both sides are rounded to bfloat16 on the way (relative error 2^-9 a
// product, which the sums average out); what is stored stays fp16, and single tokens use it in full.
//
// Up to 16 rows of `a` are converted once for all panels. Of a panel, two steps of k become one register of
// pairs: two conversions, one rounding, one permutation for 16 products, so that 512 multiply-adds cost about
// 21 cycles where `vfmadd` takes 35.
#include <algorithm>

#include "kernels/avx512/vectors.h"
#include "kernels/tables.h"
#include "kernels/x86_features.h"

namespace phonelm {
namespace {

// Longer rows are left to the multiply-adds: their conversion would not stay in the L1 cache.
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

// An int8 quant is a bfloat16 number: only the queries are rounded here. The sums of a group are scaled in
// float32.
template <int num>
inline void multiply_keys(const std::byte* block, int head_dim, const Pairs<num>& a, float* out,
                          int out_stride) {
  for (int first = 0; first < head_dim; first += kGroupSize) {
    const int count = std::min(kGroupSize, head_dim - first);
    const auto* quants = reinterpret_cast<const int8_t*>(block + ByteBlocks::kScalesBytes);
    __m512 sums[num];
    for (auto& sum : sums) sum = _mm512_setzero_ps();
    for (int k = 0; k < count; k += 2) {
      const __m512 next =
          k + 1 < count ? Vec::load_bytes(quants + (k + 1) * kPanelRows) : _mm512_setzero_ps();
      const __m512bh columns = side_by_side(Vec::load_bytes(quants + k * kPanelRows), next);
#pragma GCC unroll 16
      for (int row = 0; row < num; ++row) {
        const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(a.rows[row][(first + k) / 2]));
        sums[row] = _mm512_dpbf16_ps(sums[row], columns, x);
      }
    }
    const __m512 scales = load_halves(block);
    for (int row = 0; row < num; ++row) {
      float* target = out + row * out_stride;
      const __m512 before = first == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(target);
      _mm512_storeu_ps(target, _mm512_fmadd_ps(sums[row], scales, before));
    }
    block += ByteBlocks::kScalesBytes + static_cast<size_t>(count) * kPanelRows;
  }
}

void byte_keys(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out, int out_stride) {
  if (!w.may_round || w.head_dim > kMaxK) {
    return kAvx512Kernels.byte_keys(w, a, a_stride, num_rows, out, out_stride);
  }
  in_batches<16, 8, 4, 2, 1>(num_rows, [&]<int num>(int row) {
    const Pairs<num> pairs(a + row * a_stride, a_stride, w.head_dim);
    for (int first = 0; first < w.num_positions; first += kPanelRows) {
      multiply_keys<num>(w.block(first / kPanelRows), w.head_dim, pairs, out + row * out_stride + first,
                         out_stride);
    }
  });
}

// Up to 8 rows and two panels, which share the weights: the product of a weight and its position's scale.
template <int num, int panels>
inline void multiply_values(const ByteBlocks& w, int panel, const float* a, int a_stride, float* out,
                            int out_stride) {
  const int stride = w.value_stride();
  const size_t skipped = static_cast<size_t>(w.num_groups()) * ByteBlocks::kScalesBytes;
  __m512 sums[num][panels];
  for (int row = 0; row < num; ++row) {
    for (int p = 0; p < panels; ++p) {
      sums[row][p] = _mm512_loadu_ps(out + row * out_stride + (panel + p) * kPanelRows);
    }
  }
  for (int first = 0; first < w.num_positions; first += kPanelRows) {
    const std::byte* block = w.block(first / kPanelRows);
    const int count = std::min(kPanelRows, w.num_positions - first);
    // Weights behind the last position count nothing.
    const auto in_use = static_cast<__mmask16>((1u << count) - 1);
    const __m512 scales = load_halves(block + panel / 2 * static_cast<int>(ByteBlocks::kScalesBytes));
    alignas(32) uint32_t pairs[num][kPanelRows / 2];
    for (int row = 0; row < num; ++row) {
      const __m512 weights = _mm512_maskz_loadu_ps(in_use, a + row * a_stride + first);
      const __m256bh halves = _mm512_cvtneps_pbh(_mm512_maskz_mul_ps(in_use, weights, scales));
      _mm256_store_si256(reinterpret_cast<__m256i*>(pairs[row]), (__m256i)halves);
    }
    const auto* quants = reinterpret_cast<const int8_t*>(block + skipped) + panel * kPanelRows;
    for (int k = 0; k < count; k += 2, quants += 2 * stride) {
#pragma GCC unroll 2
      for (int p = 0; p < panels; ++p) {
        const __m512bh columns = side_by_side(Vec::load_bytes(quants + p * kPanelRows),
                                              Vec::load_bytes(quants + stride + p * kPanelRows));
#pragma GCC unroll 8
        for (int row = 0; row < num; ++row) {
          const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(pairs[row][k / 2]));
          sums[row][p] = _mm512_dpbf16_ps(sums[row][p], columns, x);
        }
      }
    }
  }
  for (int row = 0; row < num; ++row) {
    for (int p = 0; p < panels; ++p) {
      _mm512_storeu_ps(out + row * out_stride + (panel + p) * kPanelRows, sums[row][p]);
    }
  }
}

void byte_values(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out,
                 int out_stride) {
  if (!w.may_round) return kAvx512Kernels.byte_values(w, a, a_stride, num_rows, out, out_stride);
  const int num_panels = w.value_stride() / kPanelRows;
  in_batches<8, 4, 2, 1>(num_rows, [&]<int num>(int row) {
    const float* weights = a + row * a_stride;
    float* target = out + row * out_stride;
    int panel = 0;
    for (; panel + 2 <= num_panels; panel += 2) {
      multiply_values<num, 2>(w, panel, weights, a_stride, target, out_stride);
    }
    if (panel < num_panels) multiply_values<num, 1>(w, panel, weights, a_stride, target, out_stride);
  });
}

Kernels with_bf16() {
  Kernels kernels = kAvx512Kernels;
  kernels.half_panels = half_panels;
  kernels.byte_keys = byte_keys;
  kernels.byte_values = byte_values;
  return kernels;
}

}  // namespace

const Kernels& avx512_kernels() {
  static const Kernels kernels = with_bf16();
  return x86_features().has_avx512_bf16 ? kernels : kAvx512Kernels;
}

}  // namespace phonelm
