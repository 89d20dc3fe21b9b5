#include "graph/describe.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "graph/config_reader.h"
#include "graph/rope.h"

namespace phonelm {

namespace {

// A name and its value, which is JSON already.
using Member = std::pair<std::string_view, std::string>;

std::string object(std::initializer_list<Member> members) {
  std::string text;
  for (const auto& [name, value] : members) {
    if (!text.empty()) text += ", ";
    ((text += '"') += name) += "\": ";
    text += value;
  }
  return "{" + text + "}";
}

std::string array(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return "[" + text + "]";
}

// Of words that need no escape.
std::string text(const char* word) { return std::string(1, '"') + word + '"'; }
std::string flag(bool value) { return value ? "true" : "false"; }

template <typename Float>
std::string number(Float value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof(digits), value).ptr};
}

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::Silu:
      return "silu";
    case Activation::Relu:
      return "relu";
    case Activation::Relu2:
      return "relu2";
    case Activation::GeluTanh:
      return "gelu_tanh";
  }
  throw Error("an activation has no name");
}

// What frequencies were divided by.
std::string factors_of(const Rope& rope, const std::vector<float>& scaled) {
  const std::vector<float> plain = rope_frequencies(rope.keys.theta, 2 * rope.num_pairs());
  std::vector<std::string> factors;
  for (size_t i = 0; i < scaled.size(); ++i) factors.push_back(number(plain[i] / scaled[i]));
  return array(factors);
}

// Scaled in several ways at once, which together have no name.
std::string mixed_scaling(const ModelConfig& config, const Rope& rope) {
  const std::string magnitude = number(rope.magnitude);
  const std::string factors = factors_of(rope, rope.frequencies);
  if (rope.long_frequencies.empty()) {
    return object({{"kind", text("factors")}, {"magnitude", magnitude}, {"factors", factors}});
  }
  return object({{"kind", text("longrope")},
                 {"original_context", std::to_string(config.original_context)},
                 {"magnitude", magnitude},
                 {"factors", factors},
                 {"long_factors", factors_of(rope, rope.long_frequencies)}});
}

std::string scaling_of(const ModelConfig& config, const Rope& rope) {
  const RopeKeys& keys = rope.keys;
  const std::string magnitude = number(keys.magnitude);
  const bool is_long = !rope.long_frequencies.empty();
  const bool has_factor = keys.factor != 1.0f;
  if (has_factor + keys.has_factors + is_long > 1) return mixed_scaling(config, rope);
  if (is_long) {
    return object({{"kind", text("longrope")},
                   {"original_context", std::to_string(config.original_context)},
                   {"magnitude", magnitude}});
  }
  if (keys.has_factors) return object({{"kind", text("factors")}, {"magnitude", magnitude}});
  if (!has_factor && keys.magnitude == 1.0f) return "null";
  const std::string factor = number(keys.factor);
  if (!keys.is_yarn) {
    return object({{"kind", text("linear")}, {"factor", factor}, {"magnitude", magnitude}});
  }
  return object({{"kind", text("yarn")},
                 {"factor", factor},
                 {"original_context", std::to_string(keys.original_context)},
                 {"magnitude", magnitude},
                 {"beta_fast", number(keys.beta_fast)},
                 {"beta_slow", number(keys.beta_slow)}});
}

std::string rope_of(const ModelConfig& config, const AttentionShape& attention) {
  if (attention.rope == AttentionShape::kNoRope) return "null";
  const Rope& rope = config.ropes[static_cast<size_t>(attention.rope)];
  // In 64 bits, so that a head's size times it is whole but for rounding.
  const double fraction = 2.0 * rope.num_pairs() / attention.head_dim;
  // Whether pairs lie side by side is how a file stores q and k, not what they are.
  return object({{"theta", number(rope.keys.theta)},
                 {"fraction", number(fraction)},
                 {"table", text(rope.int8 ? "int8" : "float")},
                 {"scaling", scaling_of(config, rope)}});
}

// The tensors of one layer.
class LayerTensors {
 public:
  LayerTensors(const GgufFile& file, int layer)
      : file_(file), prefix_("blk." + std::to_string(layer) + ".") {}

  bool has(const std::string& name) const { return file_.find_tensor(prefix_ + name) != nullptr; }
  bool has_rows(const std::string& name, int num_rows) const {
    const TensorInfo* tensor = file_.find_tensor(prefix_ + name);
    return tensor && tensor->dims[1] == static_cast<uint64_t>(num_rows);
  }
  // Whether these matrices have biases: all of them or none. Throws Error.
  bool biased(std::initializer_list<const char*> names) const {
    const auto is_biased = [this](const char* name) { return has(name + std::string(".bias")); };
    const bool first = is_biased(*names.begin());
    for (const char* name : names) {
      if (is_biased(name) == first) continue;
      throw Error(file_.path() + ": of " + prefix_ + *names.begin() + " and " + prefix_ + name +
                  " one has a bias and the other has none, which no description fits");
    }
    return first;
  }

 private:
  const GgufFile& file_;
  const std::string prefix_;
};

const char* attention_bias(const LayerTensors& tensors, bool fused) {
  if (tensors.has("attn_output.bias")) {
    fused ? tensors.biased({"attn_output", "attn_qkv"})
          : tensors.biased({"attn_output", "attn_q", "attn_k", "attn_v"});
    return "all";
  }
  const bool biased = fused ? tensors.biased({"attn_qkv"}) : tensors.biased({"attn_q", "attn_k", "attn_v"});
  return biased ? "qkv" : "none";
}

std::string mixer_of(const ModelConfig& config, const AttentionShape& attention,
                     const LayerTensors& tensors) {
  const bool fused = tensors.has("attn_qkv.weight");
  const bool has_window = attention.window != AttentionShape::kAll;
  const bool is_usual = attention.scale == 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  return object({{"kind", text("attention")},
                 {"num_heads", std::to_string(attention.num_heads)},
                 {"num_kv_heads", std::to_string(attention.num_kv_heads)},
                 {"head_dim", std::to_string(attention.head_dim)},
                 {"rope", rope_of(config, attention)},
                 {"window", has_window ? std::to_string(attention.window) : "null"},
                 {"scale", is_usual ? "null" : number(attention.scale)},
                 {"qk_norm", text(attention.qk_norm ? "head" : "none")},
                 {"bias", text(attention_bias(tensors, fused))},
                 {"fused", flag(fused)}});
}

std::string ffn_of(const FfnShape& ffn, const LayerTensors& tensors) {
  const bool fused = ffn.gated && !tensors.has("ffn_gate.weight") &&
                     tensors.has_rows("ffn_up.weight", 2 * ffn.intermediate_size);
  const bool has_gate = ffn.gated && !fused;
  const bool bias =
      has_gate ? tensors.biased({"ffn_up", "ffn_down", "ffn_gate"}) : tensors.biased({"ffn_up", "ffn_down"});
  return object({{"intermediate_size", std::to_string(ffn.intermediate_size)},
                 {"gated", flag(ffn.gated)},
                 {"activation", text(name_of(ffn.activation))},
                 {"bias", flag(bias)},
                 {"fused", flag(fused)}});
}

std::string norm_of(const ModelConfig& config) {
  return object({{"kind", text(config.norm.name())}, {"eps", number(config.norm.eps)}});
}

// Without its end, which may be a count.
std::string open_layer(const ModelConfig& config, const GgufFile& file, int index) {
  const LayerTensors tensors(file, index);
  const LayerShape& layer = config.layer(index);
  std::string all = object({{"mixer", mixer_of(config, layer.attention, tensors)},
                            {"ffn", ffn_of(layer.ffn, tensors)},
                            {"norm", norm_of(config)},
                            {"residual", object({{"post_norm", flag(layer.post_norm)}})}});
  all.pop_back();
  return all;
}

std::string layers_of(const ModelConfig& config, const GgufFile& file) {
  std::vector<std::pair<std::string, int>> runs;
  for (int i = 0; i < config.num_layers(); ++i) {
    std::string layer = open_layer(config, file, i);
    if (runs.empty() || runs.back().first != layer) runs.emplace_back(std::move(layer), 0);
    ++runs.back().second;
  }
  std::vector<std::string> items;
  for (const auto& [layer, count] : runs)
    items.push_back(layer + ", \"repeat\": " + std::to_string(count) + "}");
  return array(items);
}

}  // namespace

std::string describe(const ModelConfig& config, const GgufFile& file) {
  const bool tied = file.find_tensor("output.weight") == nullptr;
  return object({{"vocab_size", std::to_string(config.vocab_size)},
                 {"hidden_size", std::to_string(config.hidden_size)},
                 {"context_length", std::to_string(config.context_length)},
                 {"embedding", object({{"scaled", flag(config.embedding_scale != 1.0f)}})},
                 {"layers", layers_of(config, file)},
                 {"norm", norm_of(config)},
                 {"head", object({{"tied", flag(tied)}})}});
}

std::string describe(const GgufFile& file) {
  ModelConfig config = read_config(file);
  // As many as the tokenizer has, which a model is loaded with.
  const std::vector<std::string>* tokens = file.get_strings("tokenizer.ggml.tokens");
  config.vocab_size = tokens ? static_cast<int>(tokens->size())
                             : ConfigReader(file, config.architecture).count("vocab_size", 1 << 24);
  return describe(config, file);
}

}  // namespace phonelm
