// The columns of a group that a token's activations do not leave out, in pairs, as the kernels of
// NeuronColumns take them. In an unnamed namespace: each instruction set's file compiles its own.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels/kernels.h"

namespace phonelm {
namespace {

struct LiveColumns {
  int num_pairs = 0;
  // Both terms' scales and offsets.
  float scale = 0.0f;
  float residual_scale = 0.0f;
  int32_t offset = 0;
  int32_t residual_offset = 0;
  // An odd last column is paired with itself and quants of 0.
  const std::byte* columns[kGroupSize + 1] = {};
  // A pair's quants side by side, twice: what is broadcast to 16-bit lanes.
  uint32_t pairs[kGroupSize / 2] = {};
  uint32_t residual_pairs[kGroupSize / 2] = {};
  // The same in one term, low + 254 x high, as 16-bit numbers side by side: at most 127 * 255, exact.
  uint32_t wide_pairs[kGroupSize / 2] = {};
};

// A bit for each quant that is not zero.
inline uint32_t not_zero(const int8_t* quants) {
#if defined(__AVX2__)
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(quants));
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256())));
#elif defined(__aarch64__)
  // A byte's bit in each byte; three sums of adjacent bytes bring 32 bytes' bits into 4.
  const uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  const auto found = [&](const int8_t* bytes) {
    const int8x16_t values = vld1q_s8(bytes);
    return vandq_u8(vtstq_s8(values, values), bits);
  };
  const uint8x16_t pairs = vpaddq_u8(found(quants), found(quants + 16));
  const uint8x16_t fours = vpaddq_u8(pairs, pairs);
  return vgetq_lane_u32(vreinterpretq_u32_u8(vpaddq_u8(fours, fours)), 0);
#else
  uint32_t mask = 0;
  for (int i = 0; i < kGroupSize; ++i) mask |= static_cast<uint32_t>(quants[i] != 0) << i;
  return mask;
#endif
}

inline uint32_t twice(int first, int second) {
  const uint32_t pair = (static_cast<uint32_t>(first) & 255) | ((static_cast<uint32_t>(second) & 255) << 8);
  return pair | pair << 16;
}

inline uint32_t wide(int high, int low) {
  return static_cast<uint32_t>(static_cast<int>(kResidualSteps) * high + low) & 0xffff;
}

// Of one token.
inline void find_live(const NeuronColumns& weights, const Activations& input, int group, LiveColumns* live) {
  const auto at = static_cast<size_t>(group);
  live->num_pairs = 0;
  live->scale = input.scales[at];
  if (live->scale == 0.0f) return;
  const bool has_residual = input.residual_tokens[at] & 1;
  live->offset = input.offsets[at];
  live->residual_offset = has_residual ? input.residual_offsets[at] : 0;
  live->residual_scale = has_residual ? input.residual_scales[at] : 0.0f;
  const int8_t* quants = input.quants + at * kGroupSize;
  const int8_t* residual_quants = input.residual_quants + at * kGroupSize;
  const std::byte* columns = weights.group(group) + weights.scales_bytes();
  uint32_t mask = not_zero(quants) | (has_residual ? not_zero(residual_quants) : 0);
  const auto next = [&](int place) {
    const int i = mask == 0 ? -1 : __builtin_ctz(mask);
    mask &= mask - (mask != 0);
    live->columns[place] =
        i < 0 ? live->columns[place - 1] : columns + static_cast<size_t>(i) * weights.column_bytes;
    return i;
  };
  while (mask != 0) {
    const int pair = live->num_pairs++;
    const int first = next(2 * pair);
    const int second = next(2 * pair + 1);
    const int high[2] = {quants[first], second < 0 ? 0 : quants[second]};
    const int low[2] = {has_residual ? residual_quants[first] : 0,
                        has_residual && second >= 0 ? residual_quants[second] : 0};
    live->pairs[pair] = twice(high[0], high[1]);
    live->residual_pairs[pair] = twice(low[0], low[1]);
    live->wide_pairs[pair] = wide(high[0], low[0]) | wide(high[1], low[1]) << 16;
  }
}

// Active columns lie apart, so that the hardware prefetcher does not predict them. Into the L2 cache: the
// first has too few misses in flight to hide the latency of memory (a tenth slower on Zen 4).
constexpr int kGroupsAhead = 2;

inline void prefetch_apart(const std::byte* data, size_t num_bytes) {
  for (size_t line = 0; line < num_bytes; line += 64) __builtin_prefetch(data + line, 0, 2);
}

// Active rows lie apart as active columns do.
constexpr int kRowsAhead = 4;

// Kernels::neuron_rows, where product<type>(row, x, residual_x) multiplies a row with the token's quants in
// the rows' order.
template <typename Product>
inline void for_live_rows(const NeuronRows& weights, const int32_t* neurons, int num_neurons,
                          const Activations& input, int8_t* scratch, float* out, Product product) {
  const bool four_bit = weights.type == TensorType::Q4_0;
  int8_t* residual_x = scratch + runs_bytes(weights.cols);
  to_runs(input.quants, weights.num_groups(), scratch);
  to_runs(input.residual_quants, weights.num_groups(), residual_x);
  for (int i = 0; i < num_neurons; ++i) {
    if (i + kRowsAhead < num_neurons) prefetch_apart(weights.row(neurons[i + kRowsAhead]), weights.row_bytes);
    const std::byte* row = weights.row(neurons[i]);
    out[neurons[i]] = four_bit ? product.template operator()<TensorType::Q4_0>(row, scratch, residual_x)
                               : product.template operator()<TensorType::Q8_0>(row, scratch, residual_x);
  }
}

// Calls body(live, scales) for each group that has active columns; rows [begin, end) of the next are on their
// way then.
template <typename Body>
inline void for_live_groups(const NeuronColumns& weights, int begin, int end, const Activations& input,
                            Body body) {
  const size_t first = weights.column_bytes * static_cast<size_t>(begin) / static_cast<size_t>(weights.rows);
  const size_t share =
      weights.column_bytes * static_cast<size_t>(end - begin) / static_cast<size_t>(weights.rows);
  LiveColumns ring[kGroupsAhead + 1];
  const auto fetch = [&](int group) {
    if (group >= weights.num_groups()) return;
    LiveColumns& next = ring[group % (kGroupsAhead + 1)];
    find_live(weights, input, group, &next);
    if (next.num_pairs == 0) return;
    prefetch_apart(weights.group(group) + 2 * begin, static_cast<size_t>(end - begin) * 2);
    for (int i = 0; i < 2 * next.num_pairs; ++i) prefetch_apart(next.columns[i] + first, share);
  };
  for (int group = 0; group < kGroupsAhead; ++group) fetch(group);
  for (int group = 0; group < weights.num_groups(); ++group) {
    fetch(group + kGroupsAhead);
    const LiveColumns& live = ring[group % (kGroupsAhead + 1)];
    if (live.num_pairs > 0) body(live, weights.group(group));
  }
}

}  // namespace
}  // namespace phonelm
