#include "graph/config.h"

#include <cmath>

#include "core/error.h"
#include "core/printable.h"
#include "graph/file_kind.h"
#include "graph/rope.h"

namespace phonelm {

namespace {

// Limits far above every small model; they keep products of two dimensions inside 64 bits.
constexpr int64_t kMaxDimension = int64_t{1} << 22;
constexpr int64_t kMaxLayers = 1024;

// What the architecture's name says, and no key does.
struct Kind {
  const char* name;
  Activation activation = Activation::Silu;
  bool gated = true;
  // Whether q and k are stored for interleaved pairs.
  bool interleaved = false;
  bool qk_norm = false;
};

constexpr Kind kKinds[] = {
    {.name = "llama", .interleaved = true},
    {.name = "arcee", .activation = Activation::Relu2, .gated = false, .interleaved = true},
    {.name = "smollm3", .interleaved = true},
    {.name = "qwen2"},
    {.name = "qwen3", .qk_norm = true},
    {.name = "phi3"},
    {.name = "gemma3", .activation = Activation::GeluTanh, .qk_norm = true},
    {.name = "phonelm"},
};

const Kind& find_kind(const GgufFile& file) {
  const std::string* name = file.get_string("general.architecture");
  if (!name) throw Error(file.path() + ": general.architecture is missing; the file holds no model");
  std::string names;
  for (const Kind& kind : kKinds) {
    if (kind.name == *name) return kind;
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw Error(file.path() + ": architecture '" + printable(*name) + "' is not supported; take a model of " +
              names);
}

AttentionShape read_attention(const ConfigReader& reader, const Kind& kind, int hidden_size, int num_layers) {
  AttentionShape attention;
  attention.num_heads = reader.layer_count("attention.head_count", num_layers, 65536);
  attention.num_kv_heads =
      reader.layer_count_or("attention.head_count_kv", attention.num_heads, num_layers, 65536);
  attention.head_dim = reader.count_or("attention.key_length", hidden_size / attention.num_heads, 4096);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  attention.qk_norm = kind.qk_norm;
  if (attention.num_heads % attention.num_kv_heads != 0) {
    reader.refuse("attention.head_count_kv", "does not divide attention.head_count");
  }
  if (reader.count_or("attention.value_length", attention.head_dim, kMaxDimension) != attention.head_dim) {
    reader.refuse("attention.value_length", "differs from attention.key_length, which is not supported");
  }
  return attention;
}

// The model with all layers alike.
void read_sizes(const ConfigReader& reader, const Kind& kind, ModelConfig& config) {
  config.hidden_size = reader.count("embedding_length", kMaxDimension);
  const int num_layers = reader.count("block_count", kMaxLayers);
  LayerShape layer;
  layer.attention = read_attention(reader, kind, config.hidden_size, num_layers);
  layer.ffn = {reader.layer_count("feed_forward_length", num_layers, kMaxDimension), kind.gated,
               kind.activation};
  config.context_length = reader.count("context_length", int64_t{1} << 24);
  config.norm.eps = reader.positive("attention.layer_norm_rms_epsilon", 1e-5);
  config.layers.assign(static_cast<size_t>(num_layers), layer);
}

int read_rope_dim(const ConfigReader& reader, int head_dim) {
  const int rope_dim = reader.count_or("rope.dimension_count", head_dim, 4096);
  if (rope_dim % 2 != 0 || rope_dim > head_dim) {
    reader.refuse("rope.dimension_count", "is odd or larger than a head");
  }
  return rope_dim;
}

// The keys of our own files.
FfnShape read_phonelm_ffn(const ConfigReader& reader, FfnShape ffn) {
  ffn.gated = reader.flag_or("ffn_gated", true);
  const std::string activation = reader.text_or("hidden_activation", "relu");
  if (activation == "silu") {
    ffn.activation = Activation::Silu;
  } else if (activation == "relu") {
    ffn.activation = Activation::Relu;
  } else if (activation == "relu2") {
    ffn.activation = Activation::Relu2;
  } else {
    reader.refuse("hidden_activation", "is " + quoted(activation) + ", not silu, relu or relu2");
  }
  return ffn;
}

void read_phonelm(const ConfigReader& reader, ModelConfig& config) {
  for (LayerShape& layer : config.layers) layer.ffn = read_phonelm_ffn(reader, layer.ffn);
  const std::string table = reader.text_or("rope.table", "float");
  if (table != "float" && table != "int8")
    reader.refuse("rope.table", "is " + quoted(table) + ", not float or int8");
  config.ropes[0].int8 = table == "int8";
  const char* layer_norm_eps = "attention.layer_norm_epsilon";
  if (reader.has(layer_norm_eps))
    config.norm = {NormKind::Layer, true, reader.positive(layer_norm_eps, 1e-5)};
}

// 0 or no key: none.
int read_window(const ConfigReader& reader) {
  const char* key = "attention.sliding_window";
  if (!reader.has(key) || reader.is_zero(key)) return AttentionShape::kAll;
  return reader.count(key, AttentionShape::kAll);
}

// Gemma-3: the last of every 6 layers sees all, or what the file says instead of 6, or of each layer.
std::vector<bool> windowed_layers(const ConfigReader& reader, int num_layers) {
  const char* key = "attention.sliding_window_pattern";
  if (const std::vector<bool>* flags = reader.flags(key)) {
    reader.check_num_entries(key, flags->size(), num_layers);
    return *flags;
  }
  const int period = reader.count_or(key, 6, kMaxLayers);
  std::vector<bool> windowed(static_cast<size_t>(num_layers));
  for (int i = 0; i < num_layers; ++i) windowed[static_cast<size_t>(i)] = i % period < period - 1;
  return windowed;
}

// Layers with a window rotate by a base of their own, which is not scaled.
void read_gemma3(const ConfigReader& reader, ModelConfig& config) {
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  for (LayerShape& layer : config.layers) {
    layer.post_norm = true;
    // The 27B model alone scales by other than its heads' size, and its files do not say so.
    if (config.num_layers() == 62) {
      layer.attention.scale =
          1.0f / std::sqrt(static_cast<float>(config.hidden_size / layer.attention.num_heads));
    }
  }
  const int window = read_window(reader);
  if (window == AttentionShape::kAll) return;
  const float theta = reader.positive("rope.freq_base_swa", 10000.0);
  config.ropes.push_back(plain_rope(theta, 2 * config.ropes[0].num_pairs()));
  const std::vector<bool> windowed = windowed_layers(reader, config.num_layers());
  for (size_t i = 0; i < windowed.size(); ++i) {
    if (!windowed[i]) continue;
    config.layers[i].attention.window = window;
    config.layers[i].attention.rope = 1;
  }
}

// What differs from layer to layer.
void read_layers(const ConfigReader& reader, ModelConfig& config) {
  if (config.architecture == "gemma3") return read_gemma3(reader, config);
  const int window = read_window(reader);
  if (config.architecture == "phi3") {
    for (LayerShape& layer : config.layers) layer.attention.window = window;
  } else if (window < config.context_length) {
    reader.refuse("attention.sliding_window",
                  "is set, which is not supported for " + config.architecture + " models");
  }
  if (config.architecture == "smollm3") {
    for (size_t i = 3; i < config.layers.size(); i += 4)
      config.layers[i].attention.rope = AttentionShape::kNoRope;
  }
}

void refuse_unknown(const ConfigReader& reader) {
  for (const char* key :
       {"expert_count", "attn_logit_softcapping", "final_logit_softcapping", "attention.scale",
        "attention.clamp_kqv", "attention.max_alibi_bias", "embedding_scale", "residual_scale", "logit_scale",
        "use_parallel_residual", "attention.temperature_length"}) {
    reader.refuse_unless_neutral(key);
  }
  if (!reader.flag_or("attention.causal", true)) reader.refuse("attention.causal", "is false");
}

}  // namespace

int ModelConfig::first_angle(int rope) const {
  int first = 0;
  for (int i = 0; i < rope; ++i) first += ropes[static_cast<size_t>(i)].num_pairs();
  return first;
}

ModelConfig read_config(const GgufFile& file) {
  refuse_other_kinds(file);
  const Kind& kind = find_kind(file);
  const ConfigReader reader(file, kind.name);
  ModelConfig config;
  config.architecture = kind.name;
  read_sizes(reader, kind, config);
  refuse_unknown(reader);
  config.ropes.push_back(
      read_rope(reader, read_rope_dim(reader, config.layers[0].attention.head_dim), config));
  config.ropes[0].interleaved = kind.interleaved;
  if (config.architecture == "phonelm") read_phonelm(reader, config);
  read_layers(reader, config);
  return config;
}

void check_tokens(const ModelConfig& config, std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      throw Error("token " + std::to_string(token) + " is not in the vocabulary of " +
                  std::to_string(config.vocab_size));
    }
  }
}

}  // namespace phonelm
