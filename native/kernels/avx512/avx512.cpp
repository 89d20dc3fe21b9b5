// AVX-512 with VNNI. What the products of quantized weights cost: quantized.h.
#include "kernels/avx512/neurons.h"
#include "kernels/avx512/quantize.h"
#include "kernels/avx512/quantized.h"
#include "kernels/avx512/vectors.h"
#include "kernels/byte_panels.h"
#include "kernels/tables.h"

namespace phonelm {
namespace {

template <TensorType type>
inline __m512 load_column(const std::byte* data) {
  if constexpr (type == TensorType::F32) return _mm512_loadu_ps(data);
  if constexpr (type == TensorType::F16) return load_halves(data);
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

template <TensorType type, int num, bool alone = num == 1>
inline void float_panel(const std::byte* column, int cols, const Activations& input, int token, float* out,
                        int out_stride, bool accumulate) {
  constexpr size_t stride = type == TensorType::F32 ? 64 : 32;
  const float* x = input.values + static_cast<size_t>(token) * static_cast<size_t>(input.stride);
  // One token has one chain of additions; four of them hide the latency.
  constexpr int chains = alone ? 4 : 1;
  __m512 sums[num][chains];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  int col = 0;
  for (; col + chains <= cols; col += chains) {
    for (int c = 0; c < chains; ++c, column += stride) {
      const __m512 w = load_column<type>(column);
#pragma GCC unroll 16
      for (int t = 0; t < num; ++t) {
        sums[t][c] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[t * input.stride + col + c]), sums[t][c]);
      }
    }
  }
  for (; col < cols; ++col, column += stride) {
    const __m512 w = load_column<type>(column);
    for (int t = 0; t < num; ++t) {
      sums[t][0] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[t * input.stride + col]), sums[t][0]);
    }
  }
  for (int t = 0; t < num; ++t, out += out_stride) {
    __m512 sum = sums[t][0];
    for (int c = 1; c < chains; ++c) sum = _mm512_add_ps(sum, sums[t][c]);
    _mm512_storeu_ps(out, accumulate ? _mm512_add_ps(_mm512_loadu_ps(out), sum) : sum);
  }
}

template <TensorType type, int num, bool alone>
inline void panel_of(const std::byte* panel, int cols, const Activations& input, int token, float* out,
                     int out_stride, bool accumulate) {
  if constexpr (is_quantized(type)) {
    quantized_panel<type, num, alone>(panel, input, token, out, out_stride, accumulate);
  } else {
    float_panel<type, num, alone>(panel, cols, input, token, out, out_stride, accumulate);
  }
}

// Tokens at a time where each is added up as if it came alone: a token has up to four sums then.
template <TensorType type>
constexpr int kMaxAlone = is_quantized(type) && tile_format(type).sub_scales == SubScales::None ? 8 : 4;

void matmul(const PackedMatrix& weights, int begin, int end, const Activations& input, float* out,
            int out_stride, bool accumulate) {
  for_type(weights.type, [&]<TensorType type>() {
    for (int panel = begin; panel < end; ++panel) {
      const auto multiply = [&]<int num, bool alone>(int token) {
        float* target =
            out + panel * kPanelRows + static_cast<size_t>(token) * static_cast<size_t>(out_stride);
        panel_of<type, num, alone>(weights.panel(panel), weights.cols, input, token, target, out_stride,
                                   accumulate);
      };
      if (input.batch_invariant) {
        in_batches<kMaxAlone<type>, 4, 2, 1>(
            input.num_tokens, [&]<int num>(int token) { multiply.template operator()<num, true>(token); });
      } else {
        in_batches<16, 8, 4, 2, 1>(input.num_tokens, [&]<int num>(int token) {
          multiply.template operator()<num, num == 1>(token);
        });
      }
    }
  });
}

template <int num>
inline void half_rows(const uint16_t* w, int w_stride, int num_k, const float* a, int a_stride, float* out,
                      int out_stride, bool accumulate) {
  // Few rows have few chains of additions; more of them hide the latency.
  constexpr int chains = num == 1 ? 4 : (num < 4 ? 2 : 1);
  __m512 sums[num][chains];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  const auto step = static_cast<size_t>(w_stride);
  int k = 0;
  for (; k + chains <= num_k; k += chains) {
    for (int c = 0; c < chains; ++c, w += step) {
      const __m512 column = load_halves(w);
#pragma GCC unroll 16
      for (int t = 0; t < num; ++t) {
        sums[t][c] = _mm512_fmadd_ps(column, _mm512_set1_ps(a[t * a_stride + k + c]), sums[t][c]);
      }
    }
  }
  for (; k < num_k; ++k, w += step) {
    const __m512 column = load_halves(w);
    for (int t = 0; t < num; ++t) {
      sums[t][0] = _mm512_fmadd_ps(column, _mm512_set1_ps(a[t * a_stride + k]), sums[t][0]);
    }
  }
  for (int t = 0; t < num; ++t, out += out_stride) {
    __m512 sum = sums[t][0];
    for (int c = 1; c < chains; ++c) sum = _mm512_add_ps(sum, sums[t][c]);
    _mm512_storeu_ps(out, accumulate ? _mm512_add_ps(_mm512_loadu_ps(out), sum) : sum);
  }
}

void half_panels(const HalfPanels& w, const float* a, int a_stride, int num_rows, float* out, int out_stride,
                 bool accumulate) {
  in_batches<16, 8, 4, 3, 2, 1>(num_rows, [&]<int num>(int row) {
    for (int panel = 0; panel < w.num_panels; ++panel) {
      half_rows<num>(w.panel(panel), w.stride, w.num_k, a + row * a_stride, a_stride,
                     out + row * out_stride + panel * kPanelRows, out_stride, accumulate);
    }
  });
}

void to_half(const float* x, int size, uint16_t* out) {
  int i = 0;
  for (; i + 16 <= size; i += 16) {
    const __m256i halves = _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), halves);
  }
  for (; i < size; ++i) {
    out[i] = static_cast<uint16_t>(
        _mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(x[i]), _MM_FROUND_TO_NEAREST_INT), 0));
  }
}

constexpr Kernels avx512_table() {
  Kernels kernels = vector_kernels<Vec>("avx512");
  kernels.matmul = matmul;
  kernels.neuron_rows = neuron_rows;
  kernels.neuron_columns = neuron_columns;
  kernels.half_panels = half_panels;
  kernels.to_half = to_half;
  kernels.quantize = quantize;
  return kernels;
}

}  // namespace

constinit const Kernels kAvx512Kernels = avx512_table();

}  // namespace phonelm
