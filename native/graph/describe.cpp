#include "graph/describe.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "graph/config_reader.h"
#include "graph/rope.h"

namespace phonelm {

namespace {

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
  JsonArray factors;
  for (size_t i = 0; i < scaled.size(); ++i) factors.add(json_number(plain[i] / scaled[i]));
  return factors.str();
}

// Scaled in several ways at once, which together have no name.
std::string mixed_scaling(const ModelConfig& config, const Rope& rope) {
  const bool is_long = !rope.long_frequencies.empty();
  JsonObject scaling;
  scaling.add_text("kind", is_long ? "longrope" : "factors");
  scaling.add_number("magnitude", rope.magnitude);
  scaling.add("factors", factors_of(rope, rope.frequencies));
  if (is_long) {
    scaling.add_count("original_context", config.original_context);
    scaling.add("long_factors", factors_of(rope, rope.long_frequencies));
  }
  return scaling.str();
}

std::string scaling_of(const ModelConfig& config, const Rope& rope) {
  const RopeKeys& keys = rope.keys;
  const bool is_long = !rope.long_frequencies.empty();
  const bool has_factor = keys.factor != 1.0f;
  if (has_factor + keys.has_factors + is_long > 1) return mixed_scaling(config, rope);
  JsonObject scaling;
  scaling.add_number("magnitude", keys.magnitude);
  if (is_long) {
    return scaling.add_text("kind", "longrope").add_count("original_context", config.original_context).str();
  }
  if (keys.has_factors) return scaling.add_text("kind", "factors").str();
  if (!has_factor && keys.magnitude == 1.0f) return "null";
  scaling.add_text("kind", keys.is_yarn ? "yarn" : "linear").add_number("factor", keys.factor);
  if (!keys.is_yarn) return scaling.str();
  return scaling.add_count("original_context", keys.original_context)
      .add_number("beta_fast", keys.beta_fast)
      .add_number("beta_slow", keys.beta_slow)
      .str();
}

std::string rope_of(const ModelConfig& config, const AttentionShape& attention) {
  if (attention.rope == AttentionShape::kNoRope) return "null";
  const Rope& rope = config.ropes[static_cast<size_t>(attention.rope)];
  // Whether pairs lie side by side is how a file stores q and k, not what they are.
  return JsonObject()
      .add_number("theta", rope.keys.theta)
      // In 64 bits, so that a head's size times it is whole but for rounding.
      .add_number("fraction", 2.0 * rope.num_pairs() / attention.head_dim)
      .add_text("table", rope.int8 ? "int8" : "float")
      .add("scaling", scaling_of(config, rope))
      .str();
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
  return JsonObject()
      .add_text("kind", "attention")
      .add_count("num_heads", attention.num_heads)
      .add_count("num_kv_heads", attention.num_kv_heads)
      .add_count("head_dim", attention.head_dim)
      .add("rope", rope_of(config, attention))
      .add("window", has_window ? std::to_string(attention.window) : "null")
      .add("scale", is_usual ? "null" : json_number(attention.scale))
      .add_text("qk_norm", attention.qk_norm ? "head" : "none")
      .add_text("bias", attention_bias(tensors, fused))
      .add_flag("fused", fused)
      .str();
}

std::string ffn_of(const FfnShape& ffn, const LayerTensors& tensors) {
  const bool fused = ffn.gated && !tensors.has("ffn_gate.weight") &&
                     tensors.has_rows("ffn_up.weight", 2 * ffn.intermediate_size);
  const bool has_gate = ffn.gated && !fused;
  const bool bias =
      has_gate ? tensors.biased({"ffn_up", "ffn_down", "ffn_gate"}) : tensors.biased({"ffn_up", "ffn_down"});
  return JsonObject()
      .add_count("intermediate_size", ffn.intermediate_size)
      .add_flag("gated", ffn.gated)
      .add_text("activation", name_of(ffn.activation))
      .add_flag("bias", bias)
      .add_flag("fused", fused)
      .str();
}

std::string norm_of(const ModelConfig& config) {
  return JsonObject().add_text("kind", config.norm.name()).add_number("eps", config.norm.eps).str();
}

JsonObject layer_of(const ModelConfig& config, const GgufFile& file, int index) {
  const LayerTensors tensors(file, index);
  const LayerShape& layer = config.layer(index);
  return JsonObject()
      .add("mixer", mixer_of(config, layer.attention, tensors))
      .add("ffn", ffn_of(layer.ffn, tensors))
      .add("norm", norm_of(config))
      .add("residual", JsonObject().add_flag("post_norm", layer.post_norm).str());
}

std::string layers_of(const ModelConfig& config, const GgufFile& file) {
  std::vector<std::pair<JsonObject, int>> runs;
  for (int i = 0; i < config.num_layers(); ++i) {
    JsonObject layer = layer_of(config, file, i);
    if (runs.empty() || runs.back().first != layer) runs.emplace_back(std::move(layer), 0);
    ++runs.back().second;
  }
  JsonArray items;
  for (auto& [layer, count] : runs) items.add(layer.add_count("repeat", count).str());
  return items.str();
}

}  // namespace

std::string describe(const ModelConfig& config, const GgufFile& file) {
  const bool tied = file.find_tensor("output.weight") == nullptr;
  return JsonObject()
      .add_count("vocab_size", config.vocab_size)
      .add_count("hidden_size", config.hidden_size)
      .add_count("context_length", config.context_length)
      .add("embedding", JsonObject().add_flag("scaled", config.embedding_scale != 1.0f).str())
      .add("layers", layers_of(config, file))
      .add("norm", norm_of(config))
      .add("head", JsonObject().add_flag("tied", tied).str())
      .str();
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
