// How files stretch a rope over longer contexts than the model began with. Keys and formulas: llama.cpp's
// `rope_yarn` and transformers' modeling_rope_utils.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "core/printable.h"
#include "graph/rope.h"

namespace phonelm {

namespace {

constexpr int64_t kMaxContext = int64_t{1} << 24;

// A tensor of a factor for each frequency; empty where the file has none.
std::vector<float> read_factors(const ConfigReader& reader, const std::string& name, size_t size,
                                ModelConfig& config) {
  const TensorInfo* tensor = reader.file().find_tensor(name);
  if (!tensor) return {};
  const auto refuse = [&](const std::string& what) {
    throw Error(reader.file().path() + ": tensor " + name + " " + what + "; take another file");
  };
  if (tensor->type != TensorType::F32) refuse("is not F32");
  if (tensor->num_dims != 1 || tensor->dims[0] != size) {
    refuse("does not have the " + std::to_string(size) + " factors that rope.dimension_count asks for");
  }
  std::vector<float> factors(size);
  std::memcpy(factors.data(), tensor->data, tensor->num_bytes);
  const bool usable =
      std::all_of(factors.begin(), factors.end(), [](float f) { return std::isfinite(f) && f > 0.0f; });
  if (!usable) refuse("holds a factor that is not positive");
  config.rope_tensors.push_back(name);
  return factors;
}

std::vector<float> divided(std::vector<float> frequencies, const std::vector<float>& factors) {
  for (size_t i = 0; i < factors.size(); ++i) frequencies[i] /= factors[i];
  return frequencies;
}

// As llama.cpp: the whole context where the file names none.
int original_context(const ConfigReader& reader, const ModelConfig& config) {
  return reader.count_or("rope.scaling.original_context_length", config.context_length, kMaxContext);
}

// Of linear scaling and YaRN; old files have another name for it.
float read_factor(const ConfigReader& reader) {
  return reader.factor(reader.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear");
}

// The dimension that turns so often within the original context.
double turning_dimension(double num_turns, double context, int rope_dim, double theta) {
  return rope_dim * std::log(context / (num_turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(theta));
}

// Fast dimensions stay, slow ones are divided by the factor, those between are mixed.
void scale_by_yarn(const ConfigReader& reader, float theta, float factor, const ModelConfig& config,
                   Rope& rope) {
  for (const char* name : {"yarn_ext_factor", "yarn_attn_factor", "yarn_log_multiplier"}) {
    reader.refuse_unless_neutral(std::string("rope.scaling.") + name);
  }
  if (theta == 1.0f) reader.refuse("rope.freq_base", "is 1, which YaRN cannot scale");
  const int context = original_context(reader, config);
  const int rope_dim = 2 * rope.num_pairs();
  const auto at = [&](const char* name, double turns) {
    return turning_dimension(reader.positive(name, turns), context, rope_dim, theta);
  };
  const double low = std::max(std::floor(at("rope.scaling.yarn_beta_fast", 32.0)), 0.0);
  const double high =
      std::min(std::ceil(at("rope.scaling.yarn_beta_slow", 1.0)), static_cast<double>(rope_dim - 1));
  for (int i = 0; i < rope.num_pairs(); ++i) {
    float& frequency = rope.frequencies[static_cast<size_t>(i)];
    const auto slow = static_cast<float>(std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0));
    frequency = frequency / factor * slow + frequency * (1.0f - slow);
  }
  if (factor > 1.0f) rope.magnitude *= 1.0f + 0.1f * std::log(factor);
}

void apply_factors(const ConfigReader& reader, bool needs_long, ModelConfig& config, Rope& rope) {
  const size_t size = rope.frequencies.size();
  const auto all = read_factors(reader, "rope_freqs.weight", size, config);
  const auto of_short = read_factors(reader, "rope_factors_short.weight", size, config);
  const auto of_long = read_factors(reader, "rope_factors_long.weight", size, config);
  if (of_long.empty() != of_short.empty() || (needs_long && of_long.empty())) {
    throw Error(reader.file().path() +
                ": LongRoPE needs the tensors rope_factors_long.weight and rope_factors_short.weight, both; "
                "take another file");
  }
  if (!of_long.empty()) {
    config.original_context = original_context(reader, config);
    rope.long_frequencies = divided(divided(rope.frequencies, all), of_long);
  }
  rope.frequencies = divided(divided(rope.frequencies, all), of_short);
}

}  // namespace

Rope read_rope(const ConfigReader& reader, int rope_dim, ModelConfig& config) {
  const float theta = reader.positive("rope.freq_base", 10000.0);
  Rope rope;
  rope.frequencies = rope_frequencies(theta, rope_dim);
  rope.magnitude = reader.positive("rope.scaling.attn_factor", 1.0);
  const std::string kind = reader.text_or("rope.scaling.type", "linear");
  const float factor = kind == "none" ? 1.0f : read_factor(reader);
  if (kind == "yarn") {
    scale_by_yarn(reader, theta, factor, config, rope);
  } else if (kind == "none" || kind == "linear") {
    for (float& frequency : rope.frequencies) frequency /= factor;
  } else if (kind != "longrope") {
    reader.refuse("rope.scaling.type", "is " + quoted(kind) + ", not none, linear, yarn or longrope");
  } else if (factor != 1.0f) {
    reader.refuse("rope.scaling.factor", "is set beside factors by dimension");
  }
  apply_factors(reader, kind == "longrope", config, rope);
  return rope;
}

}  // namespace phonelm
