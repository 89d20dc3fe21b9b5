#include "graph/config.h"

#include <cmath>

#include "core/error.h"

namespace phonelm {

namespace {

// Limits far above every small model; they keep products of two dimensions inside 64 bits.
constexpr int64_t kMaxDimension = int64_t{1} << 22;
constexpr int64_t kMaxLayers = 1024;

class Reader {
 public:
  Reader(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  int count(const std::string& name, int64_t most) const {
    const auto value = file_.get_int(prefix_ + name);
    if (!value) refuse(name, "is missing");
    return checked(name, *value, most);
  }
  int count_or(const std::string& name, int64_t fallback, int64_t most) const {
    return checked(name, file_.get_int(prefix_ + name).value_or(fallback), most);
  }
  float positive(const std::string& name, double fallback) const {
    const double value = file_.get_float(prefix_ + name).value_or(fallback);
    if (!std::isfinite(value) || value <= 0.0) refuse(name, "is " + std::to_string(value) + ", not positive");
    return static_cast<float>(value);
  }
  std::string text_or(const std::string& name, const char* fallback) const {
    const std::string* value = file_.get_string(prefix_ + name);
    return value ? *value : fallback;
  }
  bool flag_or(const std::string& name, bool fallback) const {
    return file_.get_bool(prefix_ + name).value_or(fallback);
  }
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw Error(file_.path() + ": " + prefix_ + name + " " + what +
                "; the file is broken or of a kind not supported");
  }

 private:
  int checked(const std::string& name, int64_t value, int64_t most) const {
    if (value < 1 || value > most)
      refuse(name, "is " + std::to_string(value) + ", not 1 to " + std::to_string(most));
    return static_cast<int>(value);
  }

  const GgufFile& file_;
  const std::string prefix_;
};

void read_kind(const Reader& reader, ModelConfig& config) {
  if (config.architecture == "llama") return;
  if (config.architecture == "arcee") {
    config.gated = false;
    config.activation = Activation::Relu2;
    return;
  }
  config.rope_interleaved = false;
  config.gated = reader.flag_or("ffn_gated", true);
  const std::string activation = reader.text_or("hidden_activation", "relu");
  if (activation == "silu") {
    config.activation = Activation::Silu;
  } else if (activation == "relu") {
    config.activation = Activation::Relu;
  } else if (activation == "relu2") {
    config.activation = Activation::Relu2;
  } else {
    reader.refuse("hidden_activation", "is '" + activation + "', not silu, relu or relu2");
  }
  const std::string table = reader.text_or("rope.table", "float");
  if (table != "float" && table != "int8")
    reader.refuse("rope.table", "is '" + table + "', not float or int8");
  config.rope_int8 = table == "int8";
}

void refuse_unknown(const Reader& reader, const ModelConfig& config) {
  const std::string scaling = reader.text_or("rope.scaling.type", "none");
  if (scaling != "none")
    reader.refuse("rope.scaling.type", "is '" + scaling + "', which is not supported yet");
  if (reader.count_or("expert_count", 1, kMaxLayers) != 1) reader.refuse("expert_count", "is not supported");
  if (reader.count_or("attention.value_length", config.head_dim, kMaxDimension) != config.head_dim) {
    reader.refuse("attention.value_length", "differs from attention.key_length, which is not supported");
  }
  if (config.num_heads % config.num_kv_heads != 0) {
    reader.refuse("attention.head_count_kv", "does not divide attention.head_count");
  }
  if (config.rope_dim % 2 != 0 || config.rope_dim > config.head_dim) {
    reader.refuse("rope.dimension_count", "is odd or larger than a head");
  }
}

}  // namespace

std::vector<float> rope_frequencies(float theta, int rope_dim) {
  std::vector<float> frequencies;
  for (int i = 0; i < rope_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope_dim);
    frequencies.push_back(1.0f / std::pow(theta, exponent));
  }
  return frequencies;
}

ModelConfig read_config(const GgufFile& file) {
  const std::string* architecture = file.get_string("general.architecture");
  if (!architecture) throw Error(file.path() + ": general.architecture is missing; the file holds no model");
  if (*architecture != "llama" && *architecture != "phonelm" && *architecture != "arcee") {
    throw Error(file.path() + ": architecture '" + *architecture +
                "' is not supported; take a llama, phonelm or arcee model");
  }
  const Reader reader(file, *architecture + ".");
  ModelConfig config;
  config.architecture = *architecture;
  config.hidden_size = reader.count("embedding_length", kMaxDimension);
  config.num_layers = reader.count("block_count", kMaxLayers);
  config.num_heads = reader.count("attention.head_count", 65536);
  config.num_kv_heads = reader.count_or("attention.head_count_kv", config.num_heads, 65536);
  config.intermediate_size = reader.count("feed_forward_length", kMaxDimension);
  config.context_length = reader.count("context_length", int64_t{1} << 24);
  config.head_dim = reader.count_or("attention.key_length", config.hidden_size / config.num_heads, 4096);
  config.rope_dim = reader.count_or("rope.dimension_count", config.head_dim, 4096);
  config.norm_eps = reader.positive("attention.layer_norm_rms_epsilon", 1e-5);
  read_kind(reader, config);
  refuse_unknown(reader, config);
  config.rope_frequencies = rope_frequencies(reader.positive("rope.freq_base", 10000.0), config.rope_dim);
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
