// Kernels that go over a row.
#include <cmath>
#include <string>
#include <vector>

#include "checks.h"

namespace phonelm {
namespace {

// A group's quants must be the nearest ones, whichever of two where a value lies between, and its sums
// theirs.
void check_group(const Activations& input, int token, int group) {
  const size_t at = input.group_at(token, group);
  const bool has_residual =
      (input.residual_tokens[at / static_cast<size_t>(input.block)] >> (token % input.block)) & 1;
  const float scale = input.scales[at];
  const float residual_scale = has_residual ? input.residual_scales[at] : 0.0f;
  int sums[2] = {};
  int residual_sums[2] = {};
  for (int i = 0; i < kGroupSize; ++i) {
    const size_t place = at * kGroupSize + static_cast<size_t>(i);
    const int quant = input.quants[place];
    const int residual_quant = has_residual ? input.residual_quants[place] : 0;
    require(quant >= -127 && residual_quant >= -127, "a quant of -128");
    sums[i / kHalfGroup] += quant;
    residual_sums[i / kHalfGroup] += residual_quant;
    const float x =
        input.values[product(token, input.stride) + product(group, kGroupSize) + static_cast<size_t>(i)];
    const float step = has_residual ? residual_scale : scale;
    require_near("a value",
                 scale * static_cast<float>(quant) + residual_scale * static_cast<float>(residual_quant), x,
                 0.5f * step + 1e-5f * scale);
  }
  require(input.offsets[at] == -8 * (sums[0] + sums[1]), "an offset");
  require(!has_residual || input.residual_offsets[at] == -8 * (residual_sums[0] + residual_sums[1]),
          "a low offset");
  float all = 0.0f;
  for (size_t half = 0; half < 2; ++half) {
    const float sum =
        scale * static_cast<float>(sums[half]) + residual_scale * static_cast<float>(residual_sums[half]);
    require(input.half_offsets[2 * at + half] == -32 * sums[half], "a half's offset");
    require(!has_residual || input.residual_half_offsets[2 * at + half] == -32 * residual_sums[half],
            "a half's low offset");
    require_near("a half's scaled sum", input.scaled_half_sums[2 * at + half], sum, 1e-3f * scale);
    all += sum;
  }
  require_near("a scaled sum", input.scaled_sums[at], all, 1e-3f * scale);
}

}  // namespace

void check_quantize(const Kernels& kernels, Random& random) {
  const int tokens = random.chance(0.3) ? 1 : random.between(2, 40);
  const int cols = kGroupSize * random.between(1, 20);
  const RandomInput memory(random, tokens, cols);
  const Activations input = memory.view(tokens, cols);
  quantize_all(scalar(), input);
  const size_t num_masks =
      input.group_at(tokens - 1, input.num_groups - 1) / static_cast<size_t>(input.block) + 1;
  const std::vector<float> scales(input.scales, input.scales + num_masks * static_cast<size_t>(input.block));
  const std::vector<uint16_t> residual_tokens(input.residual_tokens, input.residual_tokens + num_masks);
  quantize_all(kernels, input);
  for (size_t i = 0; i < num_masks; ++i)
    require(input.residual_tokens[i] == residual_tokens[i], "a mask of second terms");
  for (int token = 0; token < tokens; ++token) {
    for (int group = 0; group < input.num_groups; ++group) {
      const size_t at = input.group_at(token, group);
      require_near("a scale", input.scales[at], scales[at], 0.0f);
      check_group(input, token, group);
    }
  }
}

void check_norm(const Kernels& kernels, Random& random) {
  const int size = random.between(1, 300);
  const auto x = random_floats(random, static_cast<size_t>(size), 4.0f);
  const auto weight = random_floats(random, x.size());
  const auto bias = random_floats(random, x.size());
  const Norm norm{.weight = random.chance(0.7) ? weight.data() : nullptr,
                  .bias = random.chance(0.3) ? bias.data() : nullptr,
                  .eps = 1e-5f};
  const Outputs out(random, x.size());
  kernels.norm(norm, x.data(), size, out.values.data());
  scalar().norm(norm, x.data(), size, out.expected.data());
  require_near(out.values, out.expected, 1e-4f);
}

void check_activate(const Kernels& kernels, Random& random) {
  constexpr Activation kinds[] = {Activation::Silu, Activation::Relu, Activation::Relu2,
                                  Activation::GeluTanh};
  const Activation kind = kinds[random.between(0, 3)];
  const int size = random.between(1, 100);
  const auto up = random_floats(random, static_cast<size_t>(size));
  const float* factors = random.chance(0.7) ? up.data() : nullptr;
  const Outputs gate(random, up.size());
  kernels.activate(kind, gate.values.data(), factors, size);
  scalar().activate(kind, gate.expected.data(), factors, size);
  require_near(gate.values, gate.expected, 1e-4f);
}

void check_softmax(const Kernels& kernels, Random& random) {
  const int size = random.between(1, 300);
  const auto scores = random_floats(random, static_cast<size_t>(size), 8.0f);
  const float maximum = scalar().maximum(scores.data(), size);
  require(kernels.maximum(scores.data(), size) == maximum, "the maximum");
  const Outputs out(random, scores.size());
  for (size_t i = 0; i < scores.size(); ++i) out.values[i] = out.expected[i] = scores[i];
  const float sum = kernels.exponentiate(out.values.data(), size, maximum);
  const float expected = scalar().exponentiate(out.expected.data(), size, maximum);
  require_near("the sum", sum, expected, 1e-5f * expected);
  require_near(out.values, out.expected, 1e-6f);
  kernels.scale(out.values.data(), size, 1.0f / sum);
  scalar().scale(out.expected.data(), size, 1.0f / expected);
  require_near(out.values, out.expected, 1e-5f);
}

void check_to_half(const Kernels& kernels, Random& random) {
  const int size = random.between(1, 60);
  // From what fp16 rounds to zero to what it takes for infinity.
  const auto x = random_floats(random, static_cast<size_t>(size), std::ldexp(1.0f, random.between(-28, 18)));
  const Guarded<uint16_t> halves(x.size());
  const Guarded<uint16_t> expected(x.size());
  kernels.to_half(x.data(), size, halves.data());
  scalar().to_half(x.data(), size, expected.data());
  for (size_t i = 0; i < x.size(); ++i) {
    require(halves[i] == expected[i], "fp16 of " + std::to_string(x[i]));
  }
}

}  // namespace phonelm
