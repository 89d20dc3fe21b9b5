// Batches of tokens times Q4_0, Q4_1 and Q8_0 matrices with AMX, int8. `Tiles` is the tile unit: the
// processor's (amx.cpp) or a model of it in plain C++ (emulated.cpp), so that any machine with AVX-512 tests
// this code.
//
// Tiles. A group of 32 columns is one product: dots [16 tokens x 16 rows, int32] = quants [16 tokens x 32
// bytes] times weights [8 x 64 bytes]. Both lie in memory as the tile unit wants them: a block of
// `Activations` holds the group's 16 x 32 bytes in a row, and the packed tile's 8 registers are the 8 rows of
// the weights (byte 4 r + b of row i is column 4 i + b of matrix row r). Weights are unpacked once for all
// tokens, their zero point taken off, so that both sides are signed and no sums are folded. Each group has
// its own scales, so its dots leave the tile for a small ring of buffers (no instruction moves them to vector
// registers) and are converted, scaled and added to 16 float accumulators, a register a token.
//
// Registers. Two tiles each of dots, tokens and weights take turns; 16 accumulators, a scale vector and two
// temporaries. A turn starts the product of step s + 3, stores that of s + 2 (a product needs about 50
// cycles) and scales step s, whose stores should have reached the L1 cache by then: a load that met them
// in the store queue would wait.
//
// Residual terms. A group in which any of the 16 tokens has one gets another step, with the scale 0 for the
// tokens without. In SmolLM2-135M those are 42 % of the blocks' groups, with 5.5 tokens each. Token by token,
// with 8 `vpdpbusd` and 3 float instructions on two ports, they would take 30 cycles, no less than the step's
// 28, and branches that are hard to predict.
//
// Bound of a step (8192 multiply-adds) on Sapphire Rapids, counted and not measured, since no machine with
// AMX was at hand: 16 cycles for the product (half the unit's peak: a group fills 32 of its 64 bytes), 16 for
// the tile store's rows, 24 for 48 float instructions on two ports, 28 for 56 loads on two ports (16 rows of
// tokens, 8 of weights, 16 of dots, 16 broadcasts). That is 292 multiply-adds per cycle; 205 with SmolLM2's
// residual terms. Q4_1 has 16 more loads, for the minima: 228 without residual terms. The AVX-512 kernel is
// bound to 93 by the same count.
#pragma once

#include <algorithm>

#include "kernels/amx/tile_config.h"
#include "kernels/avx512/vectors.h"
#include "kernels/tables.h"

namespace phonelm {
namespace {

// Numbers of tile registers; each is the first of two.
constexpr int kDots = 0;
constexpr int kTokens = 2;
constexpr int kWeights = 4;
constexpr int kWeightTileRows = kGroupSize / 4;
constexpr int kRowBytes = 64;

constexpr TileConfig kTileConfig = [] {
  TileConfig config;
  for (int i = 0; i < 2; ++i) {
    config.rows[kDots + i] = kTokenBlock;
    config.row_bytes[kDots + i] = kRowBytes;
    config.rows[kTokens + i] = kTokenBlock;
    config.row_bytes[kTokens + i] = kGroupSize;
    config.rows[kWeights + i] = kWeightTileRows;
    config.row_bytes[kWeights + i] = kRowBytes;
  }
  return config;
}();

// Groups and panels unpacked at once. With a block's activations (9 KB) and the ring (4 KB) they stay in the
// L1 cache (20 KB), and each block's activations come to it once for both panels.
constexpr int kChunkGroups = 16;
constexpr int kChunkPanels = 2;

struct alignas(64) WeightTile {
  int8_t quants[kWeightTileRows * kRowBytes];
  float scales[kPanelRows];
  float minima[kPanelRows];
};

template <TensorType type>
inline void unpack_weights(const std::byte* tile, WeightTile& out) {
  constexpr bool with_minimum = type == TensorType::Q4_1;
  const std::byte* quants = tile + (with_minimum ? 64 : 32);
  _mm512_store_ps(out.scales, load_halves(tile));
  if constexpr (with_minimum) _mm512_store_ps(out.minima, load_halves(tile + 32));
  if constexpr (type == TensorType::Q8_0) {
    const __m512i sign = _mm512_set1_epi8(-128);
    for (int i = 0; i < kWeightTileRows; ++i) {
      const __m512i w = _mm512_xor_si512(_mm512_loadu_si512(quants + kRowBytes * i), sign);
      _mm512_store_si512(out.quants + kRowBytes * i, w);
    }
    return;
  }
  const __m512i low = _mm512_set1_epi8(15);
  const __m512i zero = _mm512_set1_epi8(with_minimum ? 0 : 8);
  for (int j = 0; j < kWeightTileRows / 2; ++j) {
    const __m512i packed = _mm512_loadu_si512(quants + kRowBytes * j);
    const __m512i even = _mm512_and_si512(packed, low);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low);
    _mm512_store_si512(out.quants + kRowBytes * (2 * j), _mm512_sub_epi8(even, zero));
    _mm512_store_si512(out.quants + kRowBytes * (2 * j + 1), _mm512_sub_epi8(odd, zero));
  }
}

// A product: one term of a block's quants in a group, and the tokens' scales.
struct Step {
  const int8_t* quants;
  const float* scales;
  int group;
};

// The products of a block in a chunk of groups: the first terms of all groups, then the residual terms.
struct Steps {
  int num_first;
  int num;
  Step list[2 * kChunkGroups];
  alignas(64) float residual_scales[kChunkGroups][kTokenBlock];
};

inline void list_steps(const Activations& input, int token, int first_group, int num_groups, Steps& steps) {
  steps.num_first = num_groups;
  steps.num = num_groups;
  const size_t first = input.group_at(token, first_group);
  for (int group = 0; group < num_groups; ++group) {
    const size_t at = first + static_cast<size_t>(group * kTokenBlock);
    steps.list[group] = {input.quants + at * kGroupSize, input.scales + at, group};
    const uint16_t residual_tokens = input.residual_tokens[at / kTokenBlock];
    if (residual_tokens == 0) continue;
    // What lies there for the other tokens is left from earlier batches.
    _mm512_store_ps(steps.residual_scales[group],
                    _mm512_maskz_loadu_ps(residual_tokens, input.residual_scales + at));
    steps.list[steps.num++] = {input.residual_quants + at * kGroupSize, steps.residual_scales[group], group};
  }
}

template <int odd, class Tiles>
inline void multiply(Tiles& tiles, const Step& step, const WeightTile* weights) {
  tiles.template load<kTokens + odd>(step.quants, kGroupSize);
  tiles.template load<kWeights + odd>(weights[step.group].quants, kRowBytes);
  tiles.template zero<kDots + odd>();
  tiles.template multiply<kDots + odd, kTokens + odd, kWeights + odd>();
}

inline void add_scaled(const int32_t* dots, const Step& step, const WeightTile& weights,
                       __m512 (&sums)[kTokenBlock]) {
  const __m512 scales = _mm512_load_ps(weights.scales);
#pragma GCC unroll 16
  for (int t = 0; t < kTokenBlock; ++t) {
    const __m512 factor = _mm512_mul_ps(scales, _mm512_set1_ps(step.scales[t]));
    const __m512 dot = _mm512_cvtepi32_ps(_mm512_load_si512(dots + t * kPanelRows));
    sums[t] = _mm512_fmadd_ps(dot, factor, sums[t]);
  }
}

inline void add_minima(const WeightTile& weights, const float* scaled_sums, __m512 (&sums)[kTokenBlock]) {
  const __m512 minima = _mm512_load_ps(weights.minima);
#pragma GCC unroll 16
  for (int t = 0; t < kTokenBlock; ++t) {
    sums[t] = _mm512_fmadd_ps(minima, _mm512_set1_ps(scaled_sums[t]), sums[t]);
  }
}

// Where 16 rows of a block's tokens go.
struct Target {
  float* out;
  int stride;
  int num_tokens;
  bool accumulate;
};

constexpr int kMultiplyAhead = 3;
constexpr int kStoreAhead = 2;
constexpr int kRing = 4;

// 16 rows times a block's tokens over a chunk of groups; `scaled_sums` are the block's in the first group.
template <bool with_minimum, class Tiles>
class BlockProduct {
 public:
  BlockProduct(Tiles& tiles, const Steps& steps, const WeightTile* weights, const float* scaled_sums)
      : tiles_(tiles), steps_(steps), weights_(weights), scaled_sums_(scaled_sums) {}

  void run(const Target& target) {
    __m512 sums[kTokenBlock];
#pragma GCC unroll 16
    for (int t = 0; t < kTokenBlock; ++t) sums[t] = _mm512_setzero_ps();
    // Steps with odd numbers use the second tiles.
    static_assert(kMultiplyAhead % 2 == 1 && kStoreAhead % 2 == 0);
    for (int step = -kMultiplyAhead; step < steps_.num; step += 2) {
      run_tiles<1>(step);
      if (step >= 0) add(step, sums);
      run_tiles<0>(step + 1);
      if (step + 1 >= 0 && step + 1 < steps_.num) add(step + 1, sums);
    }
    float* out = target.out;
#pragma GCC unroll 16
    for (int t = 0; t < kTokenBlock; ++t, out += target.stride) {
      if (t >= target.num_tokens) break;
      _mm512_storeu_ps(out, target.accumulate ? _mm512_add_ps(_mm512_loadu_ps(out), sums[t]) : sums[t]);
    }
  }

 private:
  template <int odd>
  void run_tiles(int step) {
    const int ahead = step + kMultiplyAhead;
    if (ahead < steps_.num) multiply<!odd>(tiles_, steps_.list[ahead], weights_);
    const int ready = step + kStoreAhead;
    if (ready >= 0 && ready < steps_.num) tiles_.template store<kDots + odd>(ring_[ready % kRing], kRowBytes);
  }

  void add(int step, __m512 (&sums)[kTokenBlock]) const {
    const Step& now = steps_.list[step];
    add_scaled(ring_[step % kRing], now, weights_[now.group], sums);
    if (with_minimum && step < steps_.num_first) {
      add_minima(weights_[now.group], scaled_sums_ + step * kTokenBlock, sums);
    }
  }

  Tiles& tiles_;
  const Steps& steps_;
  const WeightTile* weights_;
  const float* scaled_sums_;
  alignas(64) int32_t ring_[kRing][kTokenBlock * kPanelRows];
};

// Rows of the panels [begin, end), of which there are `kChunkPanels` at most, times all tokens.
template <TensorType type, class Tiles>
void multiply_panels(Tiles& tiles, const PackedMatrix& weights, int begin, int end, const Activations& input,
                     const Target& target) {
  constexpr bool with_minimum = type == TensorType::Q4_1;
  WeightTile unpacked[kChunkPanels][kChunkGroups];
  Steps steps;
  const int num_chunks = (input.num_groups + kChunkGroups - 1) / kChunkGroups;
  for (int chunk = 0; chunk < num_chunks; ++chunk) {
    const int first = input.num_groups * chunk / num_chunks;
    const int num_groups = input.num_groups * (chunk + 1) / num_chunks - first;
    for (int panel = begin; panel < end; ++panel) {
      const std::byte* tile = weights.panel(panel) + static_cast<size_t>(first) * tile_bytes(type);
      for (int group = 0; group < num_groups; ++group, tile += tile_bytes(type)) {
        unpack_weights<type>(tile, unpacked[panel - begin][group]);
      }
    }
    for (int token = 0; token < input.num_tokens; token += kTokenBlock) {
      list_steps(input, token, first, num_groups, steps);
      for (int panel = begin; panel < end; ++panel) {
        const Target block{
            target.out + static_cast<size_t>(token) * static_cast<size_t>(target.stride) + panel * kPanelRows,
            target.stride, std::min(kTokenBlock, input.num_tokens - token), target.accumulate || chunk > 0};
        BlockProduct<with_minimum, Tiles>(tiles, steps, unpacked[panel - begin],
                                          input.scaled_sums + input.group_at(token, first))
            .run(block);
      }
    }
  }
}

// Types whose tiles this code unpacks; AVX-512 takes the others.
constexpr bool has_tiles(TensorType type) {
  return type == TensorType::Q4_0 || type == TensorType::Q4_1 || type == TensorType::Q8_0;
}

// The table's `matmul`. Less than a block of tokens does not pay for unpacking the weights.
template <class Tiles>
void matmul(const PackedMatrix& weights, int begin, int end, const Activations& input, float* out,
            int out_stride, bool accumulate) {
  if (!has_tiles(weights.type) || input.batch_invariant || input.num_tokens < kTokenBlock ||
      input.block != kTokenBlock) {
    return kAvx512Kernels.matmul(weights, begin, end, input, out, out_stride, accumulate);
  }
  Tiles tiles(kTileConfig);
  const Target target{out, out_stride, input.num_tokens, accumulate};
  for_type(weights.type, [&]<TensorType type>() {
    if constexpr (has_tiles(type)) {
      for (int panel = begin; panel < end; panel += kChunkPanels) {
        multiply_panels<type>(tiles, weights, panel, std::min(panel + kChunkPanels, end), input, target);
      }
    }
  });
}

// The AVX-512 table with another name and batch product.
inline Kernels with_matmul(const char* name, decltype(Kernels::matmul) matmul) {
  Kernels table = avx512_kernels();
  table.name = name;
  table.matmul = matmul;
  return table;
}

}  // namespace
}  // namespace phonelm
