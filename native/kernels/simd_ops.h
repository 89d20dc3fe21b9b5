// Element-wise kernels written once over a vector type V, which an instruction set's file defines: width,
// load, store, set, add, sub, mul, fma (a * b + c), max, min, round, power_of_two, reduce_add, reduce_max,
// div. Everything is in an unnamed namespace: code compiled with one set's flags must never be linked into
// another's.
#pragma once

#include "kernels/kernels.h"

namespace phonelm {
namespace {

// Calls body(vector) on x in place, the tail through a padded copy.
template <typename V, typename Body>
inline void transform(float* x, int size, Body body) {
  int i = 0;
  for (; i + V::width <= size; i += V::width) V::store(x + i, body(V::load(x + i), i));
  if (i < size) {
    float tail[V::width] = {};
    for (int k = i; k < size; ++k) tail[k - i] = x[k];
    V::store(tail, body(V::load(tail), i));
    for (int k = i; k < size; ++k) x[k] = tail[k - i];
  }
}

// e^x with a relative error of 2 ulp: 2^n * e^r, |r| <= ln(2) / 2, e^r by its Taylor series to r^7.
template <typename V>
inline typename V::Type exp_of(typename V::Type x) {
  x = V::min(V::max(x, V::set(-87.0f)), V::set(88.0f));
  const auto n = V::round(V::mul(x, V::set(1.44269504089f)));
  auto r = V::fma(n, V::set(-0.693359375f), x);
  r = V::fma(n, V::set(2.12194440e-4f), r);
  auto p = V::set(1.0f / 5040.0f);
  p = V::fma(p, r, V::set(1.0f / 720.0f));
  p = V::fma(p, r, V::set(1.0f / 120.0f));
  p = V::fma(p, r, V::set(1.0f / 24.0f));
  p = V::fma(p, r, V::set(1.0f / 6.0f));
  p = V::fma(p, r, V::set(0.5f));
  p = V::fma(p, r, V::set(1.0f));
  p = V::fma(p, r, V::set(1.0f));
  return V::mul(p, V::power_of_two(n));
}

// What a norm subtracts from its input.
template <typename V>
inline float norm_mean(const Norm& norm, const float* x, int size) {
  if (norm.kind != NormKind::Layer) return 0.0f;
  auto sums = V::set(0.0f);
  int i = 0;
  for (; i + V::width <= size; i += V::width) sums = V::add(sums, V::load(x + i));
  float sum = V::reduce_add(sums);
  for (; i < size; ++i) sum += x[i];
  return sum / static_cast<float>(size);
}

// What it multiplies the difference with.
template <typename V>
inline float norm_factor(const Norm& norm, const float* x, int size, float mean) {
  const auto means = V::set(mean);
  auto squares = V::set(0.0f);
  int i = 0;
  for (; i + V::width <= size; i += V::width) {
    const auto centered = V::sub(V::load(x + i), means);
    squares = V::fma(centered, centered, squares);
  }
  float sum = V::reduce_add(squares);
  for (; i < size; ++i) sum += (x[i] - mean) * (x[i] - mean);
  return 1.0f / __builtin_sqrtf(sum / static_cast<float>(size) + norm.eps);
}

template <typename V>
void norm(const Norm& norm, const float* x, int size, float* out) {
  const float mean = norm_mean<V>(norm, x, size);
  const float factor = norm_factor<V>(norm, x, size, mean);
  const auto means = V::set(mean);
  const auto factors = V::set(factor);
  const float* weight = norm.weight;
  const float* bias = norm.bias;
  int i = 0;
  for (; i + V::width <= size; i += V::width) {
    auto value = V::mul(V::sub(V::load(x + i), means), factors);
    if (weight) value = V::mul(value, V::load(weight + i));
    if (bias) value = V::add(value, V::load(bias + i));
    V::store(out + i, value);
  }
  for (; i < size; ++i) {
    float value = (x[i] - mean) * factor;
    if (weight) value *= weight[i];
    if (bias) value += bias[i];
    out[i] = value;
  }
}

template <typename V>
inline typename V::Type activated(Activation kind, typename V::Type x) {
  const auto zero = V::set(0.0f);
  if (kind == Activation::Silu) {
    return V::div(x, V::add(V::set(1.0f), exp_of<V>(V::sub(zero, x))));
  }
  if (kind == Activation::GeluTanh) {
    const auto cubic = V::fma(V::mul(V::mul(x, x), x), V::set(kGeluCubic), x);
    return V::div(x, V::add(V::set(1.0f), exp_of<V>(V::mul(cubic, V::set(kGeluExponent)))));
  }
  const auto live = V::max(x, zero);
  return kind == Activation::Relu ? live : V::mul(live, live);
}

template <typename V>
void activate(Activation kind, float* gate, const float* up, int size) {
  transform<V>(gate, size, [&](typename V::Type x, int at) {
    const auto y = activated<V>(kind, x);
    if (!up) return y;
    if (at + V::width <= size) return V::mul(y, V::load(up + at));
    float tail[V::width] = {};
    for (int k = at; k < size; ++k) tail[k - at] = up[k];
    return V::mul(y, V::load(tail));
  });
}

template <typename V>
float exponentiate(float* x, int size, float maximum) {
  const auto shift = V::set(maximum);
  transform<V>(x, size, [&](typename V::Type value, int) { return exp_of<V>(V::sub(value, shift)); });
  auto sums = V::set(0.0f);
  int i = 0;
  for (; i + V::width <= size; i += V::width) sums = V::add(sums, V::load(x + i));
  float sum = V::reduce_add(sums);
  for (; i < size; ++i) sum += x[i];
  return sum;
}

template <typename V>
float maximum(const float* x, int size) {
  auto best = V::set(-3.402823466e38f);
  int i = 0;
  for (; i + V::width <= size; i += V::width) best = V::max(best, V::load(x + i));
  float result = V::reduce_max(best);
  for (; i < size; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

template <typename V>
void scale(float* x, int size, float factor) {
  const auto factors = V::set(factor);
  transform<V>(x, size, [&](typename V::Type value, int) { return V::mul(value, factors); });
}

// Vectors of a group of 32 values.
template <typename V>
inline constexpr int kGroupVectors = kGroupSize / V::width;

template <typename V>
inline float largest_of(const float* x) {
  auto largest = V::set(0.0f);
  for (int i = 0; i < kGroupSize; i += V::width) {
    const auto value = V::load(x + i);
    largest = V::max(largest, V::max(value, V::sub(V::set(0.0f), value)));
  }
  return V::reduce_max(largest);
}

// Sums of the quants in the halves of a group.
struct HalfSums {
  int32_t halves[2];

  int32_t sum() const { return halves[0] + halves[1]; }
};

// Stores what is kept of the first term's sums.
inline void start_sums(const HalfSums& sums, size_t at, float scale, const Activations& target) {
  target.offsets[at] = -8 * sums.sum();
  target.scaled_sums[at] = scale * static_cast<float>(sums.sum());
  for (size_t half = 0; half < 2; ++half) {
    target.half_offsets[2 * at + half] = -32 * sums.halves[half];
    target.scaled_half_sums[2 * at + half] = scale * static_cast<float>(sums.halves[half]);
  }
}

// And of the second's, whose scale is there.
inline void add_residual_sums(const HalfSums& sums, size_t at, const Activations& target) {
  const float scale = target.residual_scales[at];
  target.residual_offsets[at] = -8 * sums.sum();
  target.scaled_sums[at] += scale * static_cast<float>(sums.sum());
  for (size_t half = 0; half < 2; ++half) {
    target.residual_half_offsets[2 * at + half] = -32 * sums.halves[half];
    target.scaled_half_sums[2 * at + half] += scale * static_cast<float>(sums.halves[half]);
  }
}

// Quants of 32 values with one scale; returns their sums and leaves the rounding error in `x`.
template <typename V>
inline HalfSums quantize_term(typename V::Type (&x)[kGroupVectors<V>], float scale, int8_t* quants) {
  constexpr int half_vectors = kGroupVectors<V> / 2;
  const auto inverse = V::set(scale > 0.0f ? 1.0f / scale : 0.0f);
  HalfSums sums;
  typename V::Type rounded[kGroupVectors<V>];
  for (int half = 0; half < 2; ++half) {
    auto total = V::set(0.0f);
    for (int i = half * half_vectors; i < (half + 1) * half_vectors; ++i) {
      // The bounds also turn NaN, which a broken file can bring, into a number.
      rounded[i] = V::min(V::max(V::round(V::mul(x[i], inverse)), V::set(-127.0f)), V::set(127.0f));
      x[i] = V::fma(rounded[i], V::set(-scale), x[i]);
      total = V::add(total, rounded[i]);
    }
    sums.halves[half] = static_cast<int32_t>(V::reduce_add(total));
  }
  V::store_bytes(quants, rounded);
  return sums;
}

template <typename V>
void quantize(const float* x, int token, const Activations& target) {
  float squares = 0.0f;
  const auto stride = static_cast<size_t>(target.block);
  const size_t base = target.group_at(token, 0);
  uint16_t* low_masks = target.residual_tokens + base / stride;
  for (int group = 0; group < target.num_groups; ++group) {
    const float largest = largest_of<V>(x + group * kGroupSize);
    target.scales[base + static_cast<size_t>(group) * stride] = largest / 127.0f;
    squares += largest * largest;
  }
  const float root = __builtin_sqrtf(squares / static_cast<float>(target.num_groups));
  const float limit = target.residual_limit * root / 127.0f;
  const int bit = token % target.block;
  for (int group = 0; group < target.num_groups; ++group) {
    const size_t at = base + static_cast<size_t>(group) * stride;
    typename V::Type rest[kGroupVectors<V>];
    for (int i = 0; i < kGroupVectors<V>; ++i) rest[i] = V::load(x + group * kGroupSize + i * V::width);
    const float scale = target.scales[at];
    const HalfSums sums = quantize_term<V>(rest, scale, target.quants + at * kGroupSize);
    start_sums(sums, at, scale, target);
    uint16_t& residual_tokens = low_masks[group];
    if (bit == 0) residual_tokens = 0;
    if (!(scale > limit)) continue;
    residual_tokens = static_cast<uint16_t>(residual_tokens | (1u << bit));
    target.residual_scales[at] = scale / kResidualSteps;
    add_residual_sums(
        quantize_term<V>(rest, scale / kResidualSteps, target.residual_quants + at * kGroupSize), at, target);
  }
}

// Calls body<type>() for the type of a matrix.
template <typename Body>
inline void for_type(TensorType type, Body body) {
  switch (type) {
    case TensorType::F32:
      return body.template operator()<TensorType::F32>();
    case TensorType::F16:
      return body.template operator()<TensorType::F16>();
    case TensorType::BF16:
      return body.template operator()<TensorType::BF16>();
    case TensorType::Q4_0:
      return body.template operator()<TensorType::Q4_0>();
    case TensorType::Q4_1:
      return body.template operator()<TensorType::Q4_1>();
    case TensorType::Q5_0:
      return body.template operator()<TensorType::Q5_0>();
    case TensorType::Q5_1:
      return body.template operator()<TensorType::Q5_1>();
    case TensorType::Q8_0:
      return body.template operator()<TensorType::Q8_0>();
    case TensorType::Q2_K:
      return body.template operator()<TensorType::Q2_K>();
    case TensorType::Q3_K:
      return body.template operator()<TensorType::Q3_K>();
    case TensorType::Q4_K:
      return body.template operator()<TensorType::Q4_K>();
    case TensorType::Q5_K:
      return body.template operator()<TensorType::Q5_K>();
    case TensorType::Q6_K:
      return body.template operator()<TensorType::Q6_K>();
    case TensorType::IQ4_NL:
      return body.template operator()<TensorType::IQ4_NL>();
  }
}

// Calls body<num>(at) until `count` items are covered, with the largest of `sizes` that still fits.
template <int... sizes, typename Body>
inline void in_batches(int count, Body body) {
  int at = 0;
  const auto run = [&]<int num>() {
    for (; at + num <= count; at += num) body.template operator()<num>(at);
  };
  (run.template operator()<sizes>(), ...);
}

}  // namespace
}  // namespace phonelm
