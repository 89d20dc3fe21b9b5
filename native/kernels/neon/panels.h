// Products of panels with activations. The integer sums are taken by what the including file defines,
// `OneToken` and `SomeTokens`, of 8 rows times `tokens` tokens that lie next to each other:
//
//   arrange(w)                    what multiply() takes, of 8 registers for 4 rows each
//   multiply<type, first, num>(w, x, dots)   adds to `vectors` registers the products of some of them
//   spread(rows), by_token(...)   rows' and tokens' numbers in the order of these sums
//   store()                       undoes that order
//   steps                         1, or 2 for two times `tokens` together: more chains of additions in flight
//
// The 16 registers of 8 rows stay where they are for all tokens of a block. Its float sums are in the first
// cache: the pipes that load and store are idle beside those that multiply.
#pragma once

#include "kernels/neon/floats.h"
#include "kernels/neon/weights.h"

namespace phonelm {
namespace {

// 8 rows of a group.
template <TensorType type, typename Dots>
struct Rows {
  static constexpr TileFormat format = tile_format(type);
  static constexpr int num_scales = format.num_scales();

  FourRows w[2];
  float32x4_t scales[num_scales][Dots::vectors];
  float32x4_t minima[num_scales][Dots::vectors];

  [[gnu::always_inline]] Rows(const std::byte* tile, int group, int first_row) {
    const std::byte* quants = tile + format.quants_at() + static_cast<size_t>(group) * format.group_bytes();
    for (int r = 0; r < 2; ++r) {
      unpack_rows<type>(quants + 4 * (first_row + 4 * r), w[r]);
      Dots::arrange(w[r]);
    }
    const auto factors = load_factors<type>(tile, group, first_row);
    for (int i = 0; i < num_scales; ++i) {
      Dots::spread(factors.scales[i].values, scales[i]);
      if constexpr (format.has_minimum) Dots::spread(factors.minima[i].values, minima[i]);
    }
  }
};

// One term of all tokens; the offsets are those of halves for types with two scales.
struct Term {
  const int8_t* quants;
  const int32_t* offsets;
};

// The integer sums of 8 rows and Dots::tokens tokens, apart for halves that have a scale each.
template <TensorType type, typename Dots>
struct Sums {
  static constexpr int num_scales = tile_format(type).num_scales();
  int32x4_t dots[num_scales][Dots::vectors];

  [[gnu::always_inline]] Sums(const Rows<type, Dots>& rows, const Term& term, size_t place) {
    unrolled<num_scales>([&]<int i>() {
      const int32_t* offsets = term.offsets + num_scales * place + i;
      const int32x4_t start = start_value<type>(Dots::by_token(offsets, num_scales));
      for (auto& dot : dots[i]) dot = start;
      constexpr int num = kGroupRegisters / num_scales;
      Dots::template multiply<type, i * num, num>(rows.w, term.quants + place * kGroupSize, dots[i]);
    });
  }

  // sums += scales * tokens * dots.
  [[gnu::always_inline]] void add_to(float32x4_t* sums, const Rows<type, Dots>& rows,
                                     float32x4_t tokens) const {
    unrolled<Dots::vectors>([&]<int v>() {
      if constexpr (num_scales == 1) {
        sums[v] = vfmaq_f32(sums[v], vcvtq_f32_s32(dots[0][v]), vmulq_f32(rows.scales[0][v], tokens));
      } else {
        const float32x4_t first = vmulq_f32(vcvtq_f32_s32(dots[0][v]), rows.scales[0][v]);
        const float32x4_t both = vfmaq_f32(first, vcvtq_f32_s32(dots[1][v]), rows.scales[1][v]);
        sums[v] = vfmaq_f32(sums[v], both, tokens);
      }
    });
  }
};

template <TensorType type, typename Dots>
inline void add_minima(const Rows<type, Dots>& rows, const Activations& input, size_t place,
                       float32x4_t* sums) {
  constexpr int num = Rows<type, Dots>::num_scales;
  const float* values = num == 1 ? input.scaled_sums : input.scaled_half_sums;
  unrolled<num>([&]<int i>() {
    const float32x4_t tokens = Dots::by_token(values + num * place + i, num);
    unrolled<Dots::vectors>([&]<int v>() { sums[v] = vfmaq_f32(sums[v], rows.minima[i][v], tokens); });
  });
}

// A block of tokens times a panel: `place` and `bits` are the first token's.
template <TensorType type, typename Dots>
class BlockProduct {
 public:
  BlockProduct(const Activations& input, size_t place, int first_bit, int count)
      : input_(input),
        residual_tokens_(input.residual_tokens + place / static_cast<size_t>(input.block)),
        place_(place),
        first_bit_(first_bit),
        count_(count) {}

  // A group of the panel's tile times the same group of the tokens.
  void add(const std::byte* tile, int group_of_tile, int group) {
    const size_t place = place_ + static_cast<size_t>(group) * static_cast<size_t>(input_.block);
    const unsigned residual_tokens = static_cast<unsigned>(residual_tokens_[group]) >> first_bit_;
    for (int half = 0; half < 2; ++half) {
      const Rows<type, Dots> rows(tile, group_of_tile, 8 * half);
      add_first(rows, place, sums_[half]);
      add_residual(rows, place, residual_tokens & ((1u << count_) - 1), sums_[half]);
    }
  }

  void store(float* out, int out_stride, bool accumulate) const {
    for (int t = 0; t < count_; t += Dots::tokens, out += Dots::tokens * out_stride) {
      for (int half = 0; half < 2; ++half) {
        Dots::store(sums_[half][t / Dots::tokens], out + 8 * half, out_stride, accumulate);
      }
    }
  }

 private:
  using Step = Sums<type, Dots>;
  using HalfSums = float32x4_t[kTokenBlock / Dots::tokens][Dots::vectors];
  static constexpr bool halves = tile_format(type).num_scales() == 2;

  [[gnu::always_inline]] void add_first(const Rows<type, Dots>& rows, size_t place, HalfSums& sums) const {
    const Term term{input_.quants, halves ? input_.half_offsets : input_.offsets};
    const auto add = [&](const Step& step, int first) {
      const size_t token = place + static_cast<size_t>(first);
      float32x4_t* target = sums[first / Dots::tokens];
      step.add_to(target, rows, Dots::by_token(input_.scales + token, 1));
      if constexpr (tile_format(type).has_minimum) add_minima(rows, input_, token, target);
    };
    int first = 0;
    if constexpr (Dots::steps == 2) {
      for (; first + 2 * Dots::tokens <= count_; first += 2 * Dots::tokens) {
        const Step one(rows, term, place + static_cast<size_t>(first));
        const Step two(rows, term, place + static_cast<size_t>(first + Dots::tokens));
        add(one, first);
        add(two, first + Dots::tokens);
      }
    }
    for (; first < count_; first += Dots::tokens) {
      add(Step(rows, term, place + static_cast<size_t>(first)), first);
    }
  }

  // The residual terms of those tokens whose bits are set.
  [[gnu::always_inline]] void add_residual(const Rows<type, Dots>& rows, size_t place, unsigned bits,
                                           HalfSums& sums) const {
    const Term term{input_.residual_quants, halves ? input_.residual_half_offsets : input_.residual_offsets};
    while (bits != 0) {
      const auto first = static_cast<unsigned>(__builtin_ctz(bits)) / Dots::tokens * Dots::tokens;
      const float32x4_t scales = Dots::by_token(input_.residual_scales + place + first, 1);
      const Step step(rows, term, place + first);
      step.add_to(sums[first / Dots::tokens], rows, Dots::keep(scales, bits >> first));
      bits &= ~0u << first << Dots::tokens;
    }
  }

  const Activations& input_;
  const uint16_t* residual_tokens_;
  size_t place_;
  int first_bit_;
  int count_;
  HalfSums sums_[2] = {};
};

template <TensorType type, typename Dots>
inline void multiply_panel(const std::byte* tile, const Activations& input, int token, int count, float* out,
                           int out_stride, bool accumulate) {
  constexpr TileFormat format = tile_format(type);
  BlockProduct<type, Dots> product(input, input.group_at(token, 0), token % input.block, count);
  for (int group = 0; group < input.num_groups; tile += format.num_bytes()) {
    for (int i = 0; i < format.num_groups(); ++i, ++group) {
      constexpr size_t share = format.num_bytes() / format.num_groups();
      if (count == 1) prefetch(tile + static_cast<size_t>(i) * share + kPrefetchBytes, share);
      product.add(tile, i, group);
    }
  }
  product.store(out, out_stride, accumulate);
}

template <TensorType type>
inline void quantized_panel(const std::byte* panel, const Activations& input, float* out, int out_stride,
                            bool accumulate) {
  for (int token = 0; token < input.num_tokens; token += input.block) {
    const int rest = input.num_tokens - token;
    const int count = rest < input.block ? rest : input.block;
    const int together = count == 1 ? 0 : count - count % SomeTokens::tokens;
    float* target = out + static_cast<size_t>(token) * static_cast<size_t>(out_stride);
    if (together > 0) {
      multiply_panel<type, SomeTokens>(panel, input, token, together, target, out_stride, accumulate);
    }
    if (together < count) {
      multiply_panel<type, OneToken>(panel, input, token + together, 1, target + together * out_stride,
                                     out_stride, accumulate);
    }
  }
}

void matmul(const PackedMatrix& weights, int begin, int end, const Activations& input, float* out,
            int out_stride, bool accumulate) {
  for_type(weights.type, [&]<TensorType type>() {
    for (int index = begin; index < end; ++index) {
      const std::byte* panel = weights.panel(index);
      float* target = out + index * kPanelRows;
      if constexpr (is_quantized(type)) {
        quantized_panel<type>(panel, input, target, out_stride, accumulate);
      } else {
        float_panel<type>(panel, weights.cols, input, target, out_stride, accumulate);
      }
    }
  });
}

}  // namespace
}  // namespace phonelm
