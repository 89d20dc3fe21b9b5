// Attention over keys and values in int8 (`ByteBlocks`), written once over the vector type of simd_ops.h,
// which needs load_bytes (signed bytes to floats) and load_halves. A product is a widened byte times a
// broadcast float: as many instructions as from fp16, half the bytes. Keys' scales multiply the sums of 32
// dimensions, values' scales the 16 weights they belong to, so that neither is felt in the inner loop.
#pragma once

#include "kernels/simd_ops.h"

namespace phonelm {
namespace {

// As many independent sums as hide the latency of a multiply-add, where rows are few.
template <int num>
inline constexpr int kChains = num == 1 ? 4 : (num < 4 ? 2 : 1);

// Rows in registers at once. Wide vectors take two panels of values, which share the scaled weights.
template <typename V>
inline constexpr int kValuePanels = V::width == kPanelRows ? 2 : 1;

template <typename V, int num>
inline void byte_key_block(const std::byte* block, int head_dim, const float* a, int a_stride, float* out,
                           int out_stride) {
  constexpr int parts = kPanelRows / V::width;
  constexpr int chains = parts == 1 ? kChains<num> : 1;
  typename V::Type sums[num][parts];
  for (auto& row : sums) {
    for (auto& sum : row) sum = V::set(0.0f);
  }
  for (int first = 0; first < head_dim; first += kGroupSize) {
    const int count = head_dim - first < kGroupSize ? head_dim - first : kGroupSize;
    const auto* scales = reinterpret_cast<const uint16_t*>(block);
    const auto* quants = reinterpret_cast<const int8_t*>(block + ByteBlocks::kScalesBytes);
    typename V::Type group[num][chains][parts];
    for (auto& row : group) {
      for (auto& chain : row) {
        for (auto& sum : chain) sum = V::set(0.0f);
      }
    }
    const auto add = [&](int k, int chain) {
      for (int part = 0; part < parts; ++part) {
        const auto column = V::load_bytes(quants + k * kPanelRows + part * V::width);
#pragma GCC unroll 8
        for (int t = 0; t < num; ++t) {
          group[t][chain][part] = V::fma(column, V::set(a[t * a_stride + first + k]), group[t][chain][part]);
        }
      }
    };
    int k = 0;
    for (; k + chains <= count; k += chains) {
      for (int chain = 0; chain < chains; ++chain) add(k + chain, chain);
    }
    for (; k < count; ++k) add(k, 0);
    for (int t = 0; t < num; ++t) {
      for (int part = 0; part < parts; ++part) {
        auto sum = group[t][0][part];
        for (int chain = 1; chain < chains; ++chain) sum = V::add(sum, group[t][chain][part]);
        sums[t][part] = V::fma(sum, V::load_halves(scales + part * V::width), sums[t][part]);
      }
    }
    block += ByteBlocks::kScalesBytes + static_cast<size_t>(count) * kPanelRows;
  }
  for (int t = 0; t < num; ++t) {
    for (int part = 0; part < parts; ++part) {
      V::store(out + t * out_stride + part * V::width, sums[t][part]);
    }
  }
}

template <typename V, int num, int panels>
inline void byte_value_panels(const ByteBlocks& w, int panel, const float* a, int a_stride, float* out,
                              int out_stride) {
  constexpr int parts = panels * kPanelRows / V::width;
  constexpr int chains = V::width == kPanelRows && num < 3 ? 2 : 1;
  typename V::Type sums[num][chains][parts];
  for (auto& row : sums) {
    for (auto& chain : row) {
      for (auto& sum : chain) sum = V::set(0.0f);
    }
  }
  const int stride = w.value_stride();
  for (int first = 0; first < w.num_positions; first += kPanelRows) {
    const std::byte* block = w.block(first / kPanelRows);
    const auto* scales = reinterpret_cast<const uint16_t*>(block) + panel / 2 * kPanelRows;
    const auto* quants = reinterpret_cast<const int8_t*>(block + w.num_groups() * ByteBlocks::kScalesBytes) +
                         panel * kPanelRows;
    alignas(64) float weights[num][kPanelRows];
    for (int t = 0; t < num; ++t) {
      for (int i = 0; i < kPanelRows; i += V::width) {
        V::store(weights[t] + i, V::mul(V::load(a + t * a_stride + first + i), V::load_halves(scales + i)));
      }
    }
    const auto add = [&](int k, int chain) {
      for (int part = 0; part < parts; ++part) {
        const auto column = V::load_bytes(quants + k * stride + part * V::width);
#pragma GCC unroll 8
        for (int t = 0; t < num; ++t) {
          sums[t][chain][part] = V::fma(column, V::set(weights[t][k]), sums[t][chain][part]);
        }
      }
    };
    const int count = w.num_positions - first < kPanelRows ? w.num_positions - first : kPanelRows;
    int k = 0;
    for (; k + chains <= count; k += chains) {
      for (int chain = 0; chain < chains; ++chain) add(k + chain, chain);
    }
    for (; k < count; ++k) add(k, 0);
  }
  for (int t = 0; t < num; ++t) {
    float* target = out + t * out_stride + panel * kPanelRows;
    for (int part = 0; part < parts; ++part, target += V::width) {
      auto sum = V::load(target);
      for (int chain = 0; chain < chains; ++chain) sum = V::add(sum, sums[t][chain][part]);
      V::store(target, sum);
    }
  }
}

template <typename V>
void byte_keys(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out, int out_stride) {
  const auto run = [&]<int num>(int row) {
    for (int first = 0; first < w.num_positions; first += kPanelRows) {
      byte_key_block<V, num>(w.block(first / kPanelRows), w.head_dim, a + row * a_stride, a_stride,
                             out + row * out_stride + first, out_stride);
    }
  };
  if constexpr (V::width == kPanelRows) {
    in_batches<8, 4, 3, 2, 1>(num_rows, run);
  } else {
    in_batches<3, 2, 1>(num_rows, run);
  }
}

template <typename V>
void byte_values(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out,
                 int out_stride) {
  const int num_panels = w.value_stride() / kPanelRows;
  const auto run = [&]<int num>(int row) {
    const float* weights = a + row * a_stride;
    float* target = out + row * out_stride;
    int panel = 0;
    for (; panel + kValuePanels<V> <= num_panels; panel += kValuePanels<V>) {
      byte_value_panels<V, num, kValuePanels<V>>(w, panel, weights, a_stride, target, out_stride);
    }
    for (; panel < num_panels; ++panel) {
      byte_value_panels<V, num, 1>(w, panel, weights, a_stride, target, out_stride);
    }
  };
  if constexpr (V::width == kPanelRows) {
    in_batches<8, 4, 3, 2, 1>(num_rows, run);
  } else {
    in_batches<4, 3, 2, 1>(num_rows, run);
  }
}

// A table with all that is written once over the vector type; an instruction set's file adds the rest.
template <typename V>
constexpr Kernels vector_kernels(const char* name) {
  Kernels kernels{};
  kernels.name = name;
  kernels.quantize = quantize<V>;
  kernels.norm = norm<V>;
  kernels.activate = activate<V>;
  kernels.exponentiate = exponentiate<V>;
  kernels.maximum = maximum<V>;
  kernels.scale = scale<V>;
  kernels.byte_keys = byte_keys<V>;
  kernels.byte_values = byte_values<V>;
  return kernels;
}

}  // namespace
}  // namespace phonelm
