// AVX2 with FMA and F16C. `vpmaddubsw` multiplies 8 rows x 4 columns of unsigned weights with 4 broadcast
// signed activations and adds neighbours into int16: 4-bit weights can add all 8 products of a group there
// (15 * 127 * 2 * 8 < 32768) and are widened once; 8-bit weights would overflow, so their sign is moved to
// the activations (|w| * sign(w) a) and each product is widened. A tile of 16 rows is done as two halves
// of 8. Measured on Zen 4 from the second cache: decode of Q4_0 5.6 bytes a cycle and core, bound by the 34
// multiplications and additions of a tile's half with two terms, not by memory.
#include "kernels/avx2/neurons.h"
#include "kernels/avx2/vectors.h"
#include "kernels/tables.h"

namespace phonelm {
namespace {

// 8 rows of a tile (half 0 or 1) as 8 registers; register i holds columns 4 i to 4 i + 3. 8-bit quants become
// signed.
template <TensorType type>
inline void unpack_half_tile(const std::byte* quants, int half, __m256i (&w)[8]) {
  const auto load = [&](int j) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quants + 64 * j + 32 * half));
  };
  if constexpr (type == TensorType::Q8_0) {
    const __m256i flip = _mm256_set1_epi8(static_cast<char>(0x80));
    for (int i = 0; i < 8; ++i) w[i] = _mm256_xor_si256(load(i), flip);
  } else {
    const __m256i low = _mm256_set1_epi8(15);
    for (int j = 0; j < 4; ++j) {
      const __m256i packed = load(j);
      w[2 * j] = _mm256_and_si256(packed, low);
      w[2 * j + 1] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), low);
    }
  }
}

// 8 integer dot products of a group.
template <TensorType type>
inline __m256i dot_group(const __m256i (&w)[8], const int8_t* x, int32_t offset) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (type == TensorType::Q8_0) {
    __m256i dot = _mm256_setzero_si256();
    for (int i = 0; i < 8; ++i) {
      const __m256i signed_x = _mm256_sign_epi8(broadcast_quants(x + 4 * i), w[i]);
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w[i]), signed_x);
      dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, ones));
    }
    return dot;
  } else {
    __m256i pairs = _mm256_maddubs_epi16(w[0], broadcast_quants(x));
    for (int i = 1; i < 8; ++i) {
      pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w[i], broadcast_quants(x + 4 * i)));
    }
    const __m256i dot = _mm256_madd_epi16(pairs, ones);
    return type == TensorType::Q4_0 ? _mm256_add_epi32(dot, _mm256_set1_epi32(offset)) : dot;
  }
}

template <TensorType type, int num>
inline void quantized_panel(const std::byte* tile, int half, const Activations& input, int token, float* out,
                            int out_stride, bool accumulate) {
  constexpr bool with_minimum = type == TensorType::Q4_1;
  constexpr size_t scales_bytes = with_minimum ? 64 : 32;
  constexpr size_t stride = scales_bytes + (type == TensorType::Q8_0 ? 512 : 256);
  __m256 sums[num];
  for (int t = 0; t < num; ++t) sums[t] = _mm256_setzero_ps();
  size_t at = input.group_at(token, 0);
  const int first_bit = token % input.block;
  const uint16_t* low_mask = input.low_tokens + at / static_cast<size_t>(input.block);
  for (int group = 0; group < input.num_groups;
       ++group, tile += stride, at += static_cast<size_t>(input.block)) {
    __m256i w[8];
    unpack_half_tile<type>(tile + scales_bytes, half, w);
    const __m256 scales = load_halves(tile + 16 * half);
    for (int t = 0; t < num; ++t) {
      const size_t here = at + static_cast<size_t>(t);
      const __m256i dot = dot_group<type>(w, input.quants + here * kGroupSize, input.offsets[here]);
      const __m256 factor = _mm256_mul_ps(scales, _mm256_set1_ps(input.scales[here]));
      sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), factor, sums[t]);
      if constexpr (with_minimum) {
        const __m256 minima = load_halves(tile + 32 + 16 * half);
        sums[t] = _mm256_fmadd_ps(minima, _mm256_set1_ps(input.scaled_sums[here]), sums[t]);
      }
    }
    const unsigned low_tokens = static_cast<unsigned>(*low_mask++) >> first_bit;
    for (int t = 0; t < num; ++t) {
      if (!((low_tokens >> t) & 1)) continue;
      const size_t here = at + static_cast<size_t>(t);
      const __m256i dot = dot_group<type>(w, input.low_quants + here * kGroupSize, input.low_offsets[here]);
      const __m256 factor = _mm256_mul_ps(scales, _mm256_set1_ps(input.low_scales[here]));
      sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), factor, sums[t]);
    }
  }
  for (int t = 0; t < num; ++t, out += out_stride) {
    _mm256_storeu_ps(out, accumulate ? _mm256_add_ps(_mm256_loadu_ps(out), sums[t]) : sums[t]);
  }
}

template <TensorType type>
inline __m256 load_column(const std::byte* data) {
  if constexpr (type == TensorType::F32) return _mm256_loadu_ps(reinterpret_cast<const float*>(data));
  if constexpr (type == TensorType::F16) return load_halves(data);
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

template <TensorType type, int num>
inline void float_panel(const std::byte* column, int half, int cols, const Activations& input, int token,
                        float* out, int out_stride, bool accumulate) {
  constexpr size_t width = type == TensorType::F32 ? 4 : 2;
  const float* x = input.values + static_cast<size_t>(token) * static_cast<size_t>(input.stride);
  __m256 sums[num];
  for (int t = 0; t < num; ++t) sums[t] = _mm256_setzero_ps();
  column += 8 * width * static_cast<size_t>(half);
  for (int col = 0; col < cols; ++col, column += kPanelRows * width) {
    const __m256 w = load_column<type>(column);
    for (int t = 0; t < num; ++t) {
      sums[t] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[t * input.stride + col]), sums[t]);
    }
  }
  for (int t = 0; t < num; ++t, out += out_stride) {
    _mm256_storeu_ps(out, accumulate ? _mm256_add_ps(_mm256_loadu_ps(out), sums[t]) : sums[t]);
  }
}

template <TensorType type, int num>
inline void panel_of(const std::byte* panel, int half, int cols, const Activations& input, int token,
                     float* out, int out_stride, bool accumulate) {
  if constexpr (type == TensorType::Q4_0 || type == TensorType::Q4_1 || type == TensorType::Q8_0) {
    quantized_panel<type, num>(panel, half, input, token, out, out_stride, accumulate);
  } else if constexpr (!is_quantized(type)) {
    float_panel<type, num>(panel, half, cols, input, token, out, out_stride, accumulate);
  }
}

void matmul(const PackedMatrix& weights, int begin, int end, const Activations& input, float* out,
            int out_stride, bool accumulate) {
  const TensorType kind = weights.type;
  if (weights.quantized() && kind != TensorType::Q4_0 && kind != TensorType::Q4_1 &&
      kind != TensorType::Q8_0) {
    return kScalarKernels.matmul(weights, begin, end, input, out, out_stride, accumulate);
  }
  for_type(weights.type, [&]<TensorType type>() {
    for (int half_index = 2 * begin; half_index < 2 * end; ++half_index) {
      const std::byte* panel = weights.panel(half_index / 2);
      in_batches<4, 1>(input.num_tokens, [&]<int num>(int token) {
        float* target = out + 8 * half_index + static_cast<size_t>(token) * static_cast<size_t>(out_stride);
        panel_of<type, num>(panel, half_index % 2, weights.cols, input, token, target, out_stride,
                            accumulate);
      });
    }
  });
}

template <int num>
inline void half_rows(const uint16_t* w, int w_stride, int num_k, const float* a, int a_stride, float* out,
                      int out_stride, bool accumulate) {
  __m256 sums[num][2];
  for (int t = 0; t < num; ++t) {
    for (int h = 0; h < 2; ++h) {
      sums[t][h] = accumulate ? _mm256_loadu_ps(out + t * out_stride + 8 * h) : _mm256_setzero_ps();
    }
  }
  for (int k = 0; k < num_k; ++k, w += w_stride) {
    const __m256 low = load_halves(w);
    const __m256 high = load_halves(w + 8);
    for (int t = 0; t < num; ++t) {
      const __m256 x = _mm256_set1_ps(a[t * a_stride + k]);
      sums[t][0] = _mm256_fmadd_ps(low, x, sums[t][0]);
      sums[t][1] = _mm256_fmadd_ps(high, x, sums[t][1]);
    }
  }
  for (int t = 0; t < num; ++t) {
    for (int h = 0; h < 2; ++h) _mm256_storeu_ps(out + t * out_stride + 8 * h, sums[t][h]);
  }
}

void half_panels(const HalfPanels& w, const float* a, int a_stride, int num_rows, float* out, int out_stride,
                 bool accumulate) {
  in_batches<4, 1>(num_rows, [&]<int num>(int row) {
    for (int panel = 0; panel < w.num_panels; ++panel) {
      half_rows<num>(w.panel(panel), w.stride, w.num_k, a + row * a_stride, a_stride,
                     out + row * out_stride + panel * kPanelRows, out_stride, accumulate);
    }
  });
}

void to_half(const float* x, int size, uint16_t* out) {
  int i = 0;
  for (; i + 8 <= size; i += 8) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), halves);
  }
  for (; i < size; ++i) {
    out[i] = static_cast<uint16_t>(
        _mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(x[i]), _MM_FROUND_TO_NEAREST_INT), 0));
  }
}

}  // namespace

const Kernels kAvx2Kernels{"avx2",        matmul,        neuron_rows,   neuron_columns,    half_panels,
                           quantize<Vec>, rms_norm<Vec>, activate<Vec>, exponentiate<Vec>, maximum<Vec>,
                           scale<Vec>,    to_half};

}  // namespace phonelm
