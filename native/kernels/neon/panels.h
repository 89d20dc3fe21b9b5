// Products of panels with activations. Of quantized ones, the integer sums are taken by what the including
// file defines: `Single<type>`, 16 rows times one token, and `Several<type>`, 16 rows times `tokens` tokens
// that lie next to each other. Both
//
//   (offset)                        start from the zero point's part
//   add<chunk>(w, x)                add the products of a chunk, after arrange(w)
//   sums(v)                         the sums, in `vectors` registers
//   spread_rows(), spread_tokens()  order scales like the sums
//   store()                         undoes that order
//
// and `multiply_batch` calls Several for as many tokens as have room in registers.
//
// A token alone unpacks a chunk into registers, where both terms meet it. A batch unpacks a tile into the
// first cache, once for a block of tokens, and keeps the block's float sums there, too: the pipes that load
// and store are idle beside those that multiply.
#pragma once

#include "kernels/neon/tiles.h"

namespace phonelm {
namespace {

// The scales or minima of a tile's rows in the order of the sums.
template <typename Dots>
struct RowFactors {
  float32x4_t values[Dots::vectors];

  explicit RowFactors(const std::byte* halves) {
    float32x4_t rows[4];
    for (int r = 0; r < 4; ++r) rows[r] = load_halves(halves + 8 * r);
    Dots::spread_rows(rows, values);
  }
};

// sums += rows * tokens * dots.
template <typename Dots>
inline void add_scaled(const Dots& dots, const RowFactors<Dots>& rows, float32x4_t tokens,
                       float32x4_t* sums) {
  unrolled<Dots::vectors>([&]<int v>() {
    sums[v] = vfmaq_f32(sums[v], vcvtq_f32_s32(dots.sums(v)), vmulq_f32(rows.values[v], tokens));
  });
}

template <typename Dots>
inline void add_minima(const std::byte* minima, float32x4_t tokens, float32x4_t* sums) {
  const RowFactors<Dots> rows(minima);
  unrolled<Dots::vectors>([&]<int v>() { sums[v] = vfmaq_f32(sums[v], rows.values[v], tokens); });
}

template <TensorType type>
inline void single_token(const std::byte* tile, const Activations& input, int token, float* out,
                         bool accumulate) {
  using Dots = Single<type>;
  float32x4_t sums[4] = {};
  const auto step = static_cast<size_t>(input.block);
  size_t at = input.group_at(token, 0);
  const uint16_t* low_tokens = input.low_tokens + at / step;
  for (int group = 0; group < input.num_groups; ++group, tile += kTileBytes<type>, at += step) {
    prefetch(tile + kPrefetchBytes, kTileBytes<type>);
    const bool has_low = (low_tokens[group] >> (token % input.block)) & 1;
    const RowFactors<Dots> scales(tile);
    const auto add = [&]<bool both>() {
      Dots dots(input.offsets + at);
      Dots low_dots(both ? input.low_offsets + at : input.offsets + at);
      unrolled<kChunks>([&]<int chunk>() {
        Chunk w;
        unpack<type>(tile + kScalesBytes<type>, chunk, w);
        dots.template add<chunk>(w, input.quants + at * kGroupSize);
        if constexpr (both) low_dots.template add<chunk>(w, input.low_quants + at * kGroupSize);
      });
      add_scaled<Dots>(dots, scales, vdupq_n_f32(input.scales[at]), sums);
      if constexpr (kHasMinimum<type>) {
        add_minima<Dots>(tile + 32, vdupq_n_f32(input.scaled_sums[at]), sums);
      }
      if constexpr (both) add_scaled<Dots>(low_dots, scales, vdupq_n_f32(input.low_scales[at]), sums);
    };
    has_low ? add.template operator()<true>() : add.template operator()<false>();
  }
  Dots::store(sums, out, 0, accumulate);
}

// An unpacked tile times tokens of a block; `at` is the first one's place.
template <TensorType type>
class TileProduct {
 public:
  using Dots = Several<type>;
  static constexpr int tokens = Dots::tokens;
  using Sums = float32x4_t[kTokenBlock / tokens][Dots::vectors];

  TileProduct(const std::byte* tile, const Activations& input, size_t at, Sums& sums)
      : tile_(tile), input_(input), at_(at), sums_(sums), scales_(tile) {
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      unpack<type>(tile + kScalesBytes<type>, chunk, quants_[chunk]);
      Dots::arrange(quants_[chunk]);
    }
  }

  // `num` tokens from `first` on.
  template <int num>
  void add(int first) {
    constexpr int count = num / tokens;
    const size_t here = at_ + static_cast<size_t>(first);
    Dots dots[count];
    multiply<count>(input_.quants, input_.offsets, here, dots);
    unrolled<count>([&]<int n>() {
      float32x4_t* target = sums_[first / tokens + n];
      const size_t place = here + n * tokens;
      add_scaled<Dots>(dots[n], scales_, Dots::spread_tokens(input_.scales + place), target);
      if constexpr (kHasMinimum<type>) {
        add_minima<Dots>(tile_ + 32, Dots::spread_tokens(input_.scaled_sums + place), target);
      }
    });
  }

  // The second terms of those tokens whose bits are set.
  void add_low(unsigned bits) {
    while (bits != 0) {
      const int first = __builtin_ctz(bits) / tokens * tokens;
      const size_t here = at_ + static_cast<size_t>(first);
      float scales[tokens];
      for (int t = 0; t < tokens; ++t) {
        scales[t] = (bits >> (first + t)) & 1 ? input_.low_scales[here + static_cast<size_t>(t)] : 0.0f;
      }
      Dots dots[1];
      multiply<1>(input_.low_quants, input_.low_offsets, here, dots);
      add_scaled<Dots>(dots[0], scales_, Dots::spread_tokens(scales), sums_[first / tokens]);
      bits &= ~0u << (first + tokens);
    }
  }

 private:
  template <int count>
  void multiply(const int8_t* quants, const int32_t* offsets, size_t here, Dots (&dots)[count]) const {
    for (int n = 0; n < count; ++n) dots[n] = Dots(offsets + here + n * tokens);
    unrolled<kChunks>([&]<int chunk>() {
      unrolled<count>([&]<int n>() {
        dots[n].template add<chunk>(quants_[chunk], quants + (here + n * tokens) * kGroupSize);
      });
    });
  }

  const std::byte* tile_;
  const Activations& input_;
  size_t at_;
  Sums& sums_;
  RowFactors<Dots> scales_;
  Chunk quants_[kChunks];
};

// `count` tokens of a block, a multiple of Several's.
template <TensorType type>
inline void block_of_tokens(const std::byte* tile, const Activations& input, int token, int count, float* out,
                            int out_stride, bool accumulate) {
  using Dots = Several<type>;
  typename TileProduct<type>::Sums sums = {};
  size_t at = input.group_at(token, 0);
  const uint16_t* low_tokens = input.low_tokens + at / static_cast<size_t>(input.block);
  for (int group = 0; group < input.num_groups;
       ++group, tile += kTileBytes<type>, at += static_cast<size_t>(input.block)) {
    TileProduct<type> product(tile, input, at, sums);
    in_batches<kBatch, Dots::tokens>(count, [&]<int num>(int first) { product.template add<num>(first); });
    product.add_low((low_tokens[group] >> (token % input.block)) & ((1u << count) - 1));
  }
  for (int t = 0; t < count; t += Dots::tokens, out += Dots::tokens * out_stride) {
    Dots::store(sums[t / Dots::tokens], out, out_stride, accumulate);
  }
}

template <TensorType type>
inline void quantized_panel(const std::byte* panel, const Activations& input, float* out, int out_stride,
                            bool accumulate) {
  for (int token = 0; token < input.num_tokens; token += input.block) {
    const int rest = input.num_tokens - token;
    const int count = rest < input.block ? rest : input.block;
    const int together = count == 1 ? 0 : count / Several<type>::tokens * Several<type>::tokens;
    float* target = out + static_cast<size_t>(token) * static_cast<size_t>(out_stride);
    if (together > 0) block_of_tokens<type>(panel, input, token, together, target, out_stride, accumulate);
    if (together == count) continue;
    single_token<type>(panel, input, token + together, target + together * out_stride, accumulate);
  }
}

void matmul(const PackedMatrix& weights, int begin, int end, const Activations& input, float* out,
            int out_stride, bool accumulate) {
  for_type(weights.type, [&]<TensorType type>() {
    for (int index = begin; index < end; ++index) {
      const std::byte* panel = weights.panel(index);
      float* target = out + index * kPanelRows;
      if constexpr (kIsQuantized<type>) {
        quantized_panel<type>(panel, input, target, out_stride, accumulate);
      } else {
        float_panel<type>(panel, weights.cols, input, target, out_stride, accumulate);
      }
    }
  });
}

}  // namespace
}  // namespace phonelm
