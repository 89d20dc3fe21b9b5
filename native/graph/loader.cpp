#include "graph/loader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/memory.h"
#include "core/printable.h"
#include "graph/describe.h"
#include "graph/kv_cache.h"
#include "system/files.h"

namespace phonelm {

namespace {

// The decode kernels prefetch past a panel's end; the last panel's reach must stay inside the buffer's pages.
constexpr size_t kTailBytes = 8192;
// A batch for the choice of the number of threads.
constexpr int kTuningTokens = 64;

// A map that does not fit into the address space is a matter of memory, not of the file.
std::shared_ptr<GgufFile> open_file(const std::string& path) {
  try {
    return GgufFile::open(path);
  } catch (const FileError& error) {
    if (error.code().value() != ENOMEM) throw;
    require_memory(std::filesystem::file_size(system::path_of(error.path())),
                   "mapping " + printable(error.path()), "take a smaller model");
    throw;
  }
}

}  // namespace

Loader::Loader(const std::string& path, const LoadOptions& options) : model_(new Model), options_(options) {
  model_->kernels_ = &select_kernels(options.isa);
  num_threads_ = options.num_threads ? checked_num_threads(*options.num_threads) : resolve_num_threads(0);
  model_->file_ = open_file(path);
  model_->config_ = read_config(*model_->file_);
  model_->tokenizer_ = Tokenizer::from_gguf(*model_->file_);
  model_->config_.vocab_size = model_->tokenizer_->vocab_size();
}

std::shared_ptr<Model> Loader::run() {
  WeightPlan plan(*model_->file_);
  plan_model(plan);
  require_room(plan.num_bytes() + kTailBytes);
  model_->threads_ = std::make_unique<ThreadPool>(num_threads_);
  model_->weights_ = Buffer(plan.num_bytes() + kTailBytes, Pages::Huge);
  for (const auto& vector : plan.vectors()) copy(vector);
  // In the file's order, so that what was read can be given back behind the reader: memory never holds the
  // weights twice.
  for (const auto& matrix : plan.matrices()) pack(matrix);
  if (model_->head_.rows == 0) model_->head_ = model_->embedding_;
  model_->operators_ = operators(
      model_->config_, [this](int layer) { return model_->layers_[static_cast<size_t>(layer)].by_neuron(); });
  model_->scratch_ = std::make_unique<Scratch>(model_->config_, model_->config_.context_length, num_threads_);
  model_->thread_choice_ =
      options_.num_threads ? ThreadChoice{num_threads_, num_threads_} : measured_choice();
  return std::move(model_);
}

Outline Loader::outline() {
  WeightPlan plan(*model_->file_);
  plan_model(plan);
  const ModelConfig& config = model_->config_;
  const auto kv_bytes = [&](KvType type) {
    return KvCache::bytes_for(config, KvCache::kBlock, type) / KvCache::kBlock;
  };
  return {describe(config, *model_->file_), plan.num_bytes() + kTailBytes, kv_bytes(KvType::F16),
          kv_bytes(KvType::Q8_0)};
}

void Loader::plan_model(WeightPlan& plan) {
  const ModelConfig& config = model_->config_;
  plan.matrix("token_embd.weight", config.vocab_size, config.hidden_size, &model_->embedding_);
  // Without one, the embedding itself.
  if (plan.has("output.weight")) {
    plan.matrix("output.weight", config.vocab_size, config.hidden_size, &model_->head_);
  }
  plan_norm(plan, "output_norm", config.hidden_size, model_->output_norm_);
  for (const std::string& name : config.rope_tensors) plan.claim(name);
  model_->layers_.resize(config.layers.size());
  for (int index = 0; index < config.num_layers(); ++index) {
    const std::string block = "blk." + std::to_string(index) + ".";
    Layer& layer = model_->layers_[static_cast<size_t>(index)];
    plan_attention(plan, block, config.layer(index), layer);
    plan_ffn(plan, block, config.layer(index).ffn, layer);
  }
  plan.refuse_others(config.architecture);
  plan.finish();
}

void Loader::plan_norm(WeightPlan& plan, const std::string& name, int size, Norm& norm) {
  const NormShape& shape = model_->config_.norm;
  norm.kind = shape.kind;
  norm.eps = shape.eps;
  plan.vector(name + ".weight", size, &norm.weight);
  if (shape.has_bias) plan.vector(name + ".bias", size, &norm.bias);
}

void Loader::plan_attention(WeightPlan& plan, const std::string& block, const LayerShape& shape,
                            Layer& layer) {
  const int hidden = model_->config_.hidden_size;
  const int width = shape.attention.width();
  const int kv_width = shape.attention.kv_width();
  plan_norm(plan, block + "attn_norm", hidden, layer.attention_norm);
  if (plan.has(block + "attn_qkv.weight")) {
    plan.stacked(block + "attn_qkv",
                 {{width, &layer.query}, {kv_width, &layer.key}, {kv_width, &layer.value}}, hidden);
  } else {
    plan.linear(block + "attn_q", width, hidden, &layer.query);
    plan.linear(block + "attn_k", kv_width, hidden, &layer.key);
    plan.linear(block + "attn_v", kv_width, hidden, &layer.value);
  }
  plan.linear(block + "attn_output", hidden, width, &layer.output);
  if (shape.attention.qk_norm) {
    plan_norm(plan, block + "attn_q_norm", shape.attention.head_dim, layer.query_norm);
    plan_norm(plan, block + "attn_k_norm", shape.attention.head_dim, layer.key_norm);
  }
  if (shape.post_norm) {
    plan_norm(plan, block + "post_attention_norm", hidden, layer.attention_post_norm);
    plan_norm(plan, block + "post_ffw_norm", hidden, layer.ffn_post_norm);
  }
}

void Loader::plan_ffn(WeightPlan& plan, const std::string& block, const FfnShape& shape, Layer& layer) {
  const int hidden = model_->config_.hidden_size;
  const int intermediate = shape.intermediate_size;
  const std::string gate = block + "ffn_gate";
  const std::string up = block + "ffn_up";
  const std::string down = block + "ffn_down";
  plan_norm(plan, block + "ffn_norm", hidden, layer.ffn_norm);
  if (shape.gated && !plan.has(gate + ".weight") && has_rows(up + ".weight", 2 * intermediate)) {
    plan.stacked(up, {{intermediate, &layer.gate}, {intermediate, &layer.up}}, hidden);
    plan.linear(down, hidden, intermediate, &layer.down);
    return;
  }
  if (shape.gated) plan.linear(gate, intermediate, hidden, &layer.gate);
  const bool by_neuron = options_.sparse_ffn && has_dead_neurons(shape.activation) &&
                         fits_neurons(up, intermediate) && fits_neurons(down, intermediate);
  if (by_neuron && shape.gated) {
    plan.neuron_rows(up + ".weight", intermediate, hidden, &layer.up_rows);
  } else {
    plan.linear(up, intermediate, hidden, &layer.up);
  }
  if (by_neuron) {
    plan.neuron_columns(down + ".weight", hidden, intermediate, &layer.down_columns);
  } else {
    plan.linear(down, hidden, intermediate, &layer.down);
  }
}

bool Loader::has_rows(const std::string& name, int num_rows) const {
  const TensorInfo* tensor = model_->file_->find_tensor(name);
  return tensor && tensor->dims[1] == static_cast<uint64_t>(num_rows);
}

bool Loader::fits_neurons(const std::string& name, int intermediate_size) const {
  const TensorInfo* tensor = model_->file_->find_tensor(name + ".weight");
  return tensor && !model_->file_->find_tensor(name + ".bias") &&
         neuron_layout_fits(tensor->type, model_->config_.hidden_size, intermediate_size);
}

void Loader::require_room(size_t weight_bytes) const {
  const ModelConfig& config = model_->config_;
  std::vector<MemoryPart> parts{{"weights", weight_bytes}, {"buffers", buffer_bytes(config, num_threads_)}};
  const int context = std::min(options_.context_length, config.context_length);
  if (context > 0) parts.push_back({"KV cache", KvCache::bytes_for(config, context, options_.kv_type)});
  const std::string name = system::utf8_of(system::path_of(model_->file_->path()).filename());
  require_memory(printable(name), parts, available_memory(),
                 context > 0 ? "take a shorter context, a smaller model or a stronger quantization"
                             : "take a smaller model or a stronger quantization");
}

ThreadChoice Loader::measured_choice() const {
  std::vector<const PackedMatrix*> matrices;
  for (const Layer& layer : model_->layers_) {
    for (const PackedMatrix* matrix :
         {&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      if (matrix->num_panels > 0) matrices.push_back(matrix);
    }
  }
  const int num_tokens = std::min(kTuningTokens, model_->config_.context_length);
  return measure_threads(matrices, *model_->kernels_, num_tokens, *model_->threads_);
}

void Loader::pack(const WeightPlan::Matrix& matrix) {
  std::byte* target = model_->weights_.data() + matrix.offset;
  *matrix.data = target;
  ThreadPool& threads = *model_->threads_;
  threads.run([&](int thread) {
    const Range share = share_of(matrix.num_units, thread, threads.num_threads());
    matrix.pack(share.begin, share.end, matrix.source, target);
  });
  model_->file_->release_pages_up_to(*matrix.tensor);
}

void Loader::copy(const WeightPlan::Vector& vector) {
  std::byte* target = model_->weights_.data() + vector.offset;
  std::memcpy(target, vector.source, vector.num_bytes);
  *vector.data = reinterpret_cast<const float*>(target);
}

}  // namespace phonelm
