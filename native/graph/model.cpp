#include "graph/model.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>

#include "core/error.h"
#include "core/memory.h"
#include "gguf/printable.h"
#include "graph/footprint.h"
#include "graph/kv_cache.h"

namespace phonelm {

namespace {
constexpr size_t kAlignment = 64;
// The decode kernels prefetch past a panel's end; the last panel's reach must stay inside the buffer's pages.
constexpr size_t kTailBytes = 8192;
// A batch for the choice of the number of threads.
constexpr int kTuningTokens = 64;

int checked_num_threads(int num_threads) {
  if (num_threads < 1 || num_threads > kMaxThreads) {
    throw Error("threads is " + std::to_string(num_threads) + "; take 1 to " + std::to_string(kMaxThreads));
  }
  return num_threads;
}

// A map that does not fit into the address space is a matter of memory, not of the file.
std::shared_ptr<GgufFile> open_file(const std::string& path) {
  try {
    return GgufFile::open(path);
  } catch (const FileError& error) {
    if (error.code().value() != ENOMEM) throw;
    require_memory(std::filesystem::file_size(path), "mapping " + printable(path), "take a smaller model");
    throw;
  }
}
}  // namespace

int resolve_num_threads(int num_threads) {
  return num_threads == 0 ? std::min(num_usable_cores(), kMaxThreads) : checked_num_threads(num_threads);
}

// Checks every tensor first, then gets the memory, then packs: a broken file costs no memory.
class Loader {
 public:
  Loader(const std::string& path, const LoadOptions& options) : model_(new Model), options_(options) {
    model_->kernels_ = &select_kernels(options.isa);
    num_threads_ = options.num_threads ? checked_num_threads(*options.num_threads) : resolve_num_threads(0);
    model_->file_ = open_file(path);
    model_->config_ = read_config(*model_->file_);
    model_->tokenizer_ = Tokenizer::from_gguf(*model_->file_);
    model_->config_.vocab_size = model_->tokenizer_->vocab_size();
  }

  std::shared_ptr<Model> run() {
    plan();
    // Side by side: among the matrices, each would make a huge page resident before its time.
    for (auto& job : vectors_) job.offset = reserve(job.tensor->num_bytes);
    require_room();
    model_->threads_ = std::make_unique<ThreadPool>(num_threads_);
    model_->weights_ = Buffer(total_bytes_ + kTailBytes, Pages::Huge);
    for (const auto& job : vectors_) copy(job);
    // In the file's order, so that what was read can be given back behind the reader: memory never holds the
    // weights twice.
    std::sort(matrices_.begin(), matrices_.end(),
              [](const MatrixJob& a, const MatrixJob& b) { return a.tensor->offset < b.tensor->offset; });
    for (const auto& job : matrices_) pack(job);
    if (tied_) model_->head_ = model_->embedding_;
    model_->scratch_ =
        std::make_unique<Scratch>(model_->config_, model_->config_.context_length, num_threads_);
    model_->thread_choice_ =
        options_.num_threads ? ThreadChoice{num_threads_, num_threads_} : measured_choice();
    return std::move(model_);
  }

 private:
  // `pack(begin, end, source, target)` packs some of a matrix's panels, rows or groups.
  struct MatrixJob {
    const TensorInfo* tensor;
    const std::byte** data;
    size_t offset;
    int num_units;
    std::function<void(int, int, const std::byte*, std::byte*)> pack;
  };
  struct VectorJob {
    const TensorInfo* tensor;
    const float** target;
    size_t offset;
  };

  void plan() {
    const ModelConfig& config = model_->config_;
    const int attention_width = config.num_heads * config.head_dim;
    const int kv_width = config.num_kv_heads * config.head_dim;
    matrix("token_embd.weight", config.vocab_size, config.hidden_size, &model_->embedding_);
    tied_ = model_->file_->find_tensor("output.weight") == nullptr;
    if (!tied_) matrix("output.weight", config.vocab_size, config.hidden_size, &model_->head_);
    vector("output_norm.weight", config.hidden_size, &model_->output_norm_);
    model_->layers_.resize(static_cast<size_t>(config.num_layers));
    for (int index = 0; index < config.num_layers; ++index) {
      Layer& layer = model_->layers_[static_cast<size_t>(index)];
      const std::string block = "blk." + std::to_string(index) + ".";
      vector(block + "attn_norm.weight", config.hidden_size, &layer.attention_norm);
      matrix(block + "attn_q.weight", attention_width, config.hidden_size, &layer.query);
      matrix(block + "attn_k.weight", kv_width, config.hidden_size, &layer.key);
      matrix(block + "attn_v.weight", kv_width, config.hidden_size, &layer.value);
      matrix(block + "attn_output.weight", config.hidden_size, attention_width, &layer.output);
      vector(block + "ffn_norm.weight", config.hidden_size, &layer.ffn_norm);
      plan_ffn(block, layer);
    }
    for (const TensorInfo& tensor : model_->file_->tensors()) {
      if (!known_.contains(tensor.name)) {
        refuse(tensor.name, "is not part of a " + config.architecture + " model as this runtime builds it");
      }
    }
  }

  void plan_ffn(const std::string& block, Layer& layer) {
    const ModelConfig& config = model_->config_;
    const int hidden = config.hidden_size;
    const int intermediate = config.intermediate_size;
    const std::string up = block + "ffn_up.weight";
    const std::string down = block + "ffn_down.weight";
    if (config.gated) matrix(block + "ffn_gate.weight", intermediate, hidden, &layer.gate);
    const bool by_neuron =
        options_.sparse_ffn && config.activation != Activation::Silu && fits(up) && fits(down);
    by_neuron&& config.gated ? neuron_rows(up, &layer) : matrix(up, intermediate, hidden, &layer.up);
    by_neuron ? neuron_columns(down, &layer) : matrix(down, hidden, intermediate, &layer.down);
  }

  bool fits(const std::string& name) const {
    const TensorInfo* tensor = model_->file_->find_tensor(name);
    const ModelConfig& config = model_->config_;
    return tensor && neuron_layout_fits(tensor->type, config.hidden_size, config.intermediate_size);
  }

  const TensorInfo& find(const std::string& name, uint64_t cols, uint64_t rows) {
    const TensorInfo* tensor = model_->file_->find_tensor(name);
    if (!tensor) refuse(name, "is missing");
    if (tensor->dims[0] != cols || tensor->dims[1] != rows || tensor->dims[2] != 1 || tensor->dims[3] != 1) {
      refuse(name, "has shape " + std::to_string(tensor->dims[0]) + " x " + std::to_string(tensor->dims[1]) +
                       ", not " + std::to_string(cols) + " x " + std::to_string(rows));
    }
    known_.insert(name);
    return *tensor;
  }

  void matrix(const std::string& name, int rows, int cols, PackedMatrix* target) {
    const TensorInfo& tensor = find(name, static_cast<uint64_t>(cols), static_cast<uint64_t>(rows));
    *target = packed_layout(tensor.type, rows, cols);
    matrices_.push_back({&tensor, &target->data, reserve(target->num_bytes()), target->num_panels,
                         [target](int begin, int end, const std::byte* source, std::byte* out) {
                           pack_panels(*target, source, begin, end, out);
                         }});
  }

  void neuron_rows(const std::string& name, Layer* layer) {
    const ModelConfig& config = model_->config_;
    const TensorInfo& tensor = find(name, static_cast<uint64_t>(config.hidden_size),
                                    static_cast<uint64_t>(config.intermediate_size));
    NeuronRows* target = &layer->up_rows;
    *target = neuron_rows_layout(tensor.type, config.intermediate_size, config.hidden_size);
    matrices_.push_back({&tensor, &target->data, reserve(target->num_bytes()), target->rows,
                         [target](int begin, int end, const std::byte* source, std::byte* out) {
                           pack_neuron_rows(*target, source, begin, end, out);
                         }});
  }

  void neuron_columns(const std::string& name, Layer* layer) {
    const ModelConfig& config = model_->config_;
    const TensorInfo& tensor = find(name, static_cast<uint64_t>(config.intermediate_size),
                                    static_cast<uint64_t>(config.hidden_size));
    NeuronColumns* target = &layer->down_columns;
    *target = neuron_columns_layout(tensor.type, config.hidden_size, config.intermediate_size);
    matrices_.push_back({&tensor, &target->data, reserve(target->num_bytes()), target->num_groups(),
                         [target](int begin, int end, const std::byte* source, std::byte* out) {
                           pack_neuron_columns(*target, source, begin, end, out);
                         }});
  }

  void vector(const std::string& name, int size, const float** target) {
    const TensorInfo& tensor = find(name, static_cast<uint64_t>(size), 1);
    if (tensor.type != TensorType::F32) refuse(name, "is not F32");
    vectors_.push_back({&tensor, target, 0});
  }

  size_t reserve(size_t num_bytes) {
    const size_t offset = total_bytes_;
    total_bytes_ += round_up(num_bytes, kAlignment);
    return offset;
  }

  void require_room() const {
    const ModelConfig& config = model_->config_;
    std::vector<MemoryPart> parts{{"weights", total_bytes_ + kTailBytes},
                                  {"buffers", buffer_bytes(config, num_threads_)}};
    const int context = std::min(options_.context_length, config.context_length);
    if (context > 0) parts.push_back({"KV cache", KvCache::bytes_for(config, context)});
    const std::string name = std::filesystem::path(model_->file_->path()).filename().string();
    require_memory(printable(name), parts, available_memory(),
                   context > 0 ? "take a shorter context, a smaller model or a stronger quantization"
                               : "take a smaller model or a stronger quantization");
  }

  ThreadChoice measured_choice() const {
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

  void pack(const MatrixJob& job) {
    std::byte* target = model_->weights_.data() + job.offset;
    *job.data = target;
    ThreadPool& threads = *model_->threads_;
    threads.run([&](int thread) {
      const Range share = share_of(job.num_units, thread, threads.num_threads());
      job.pack(share.begin, share.end, job.tensor->data, target);
    });
    model_->file_->release_pages_up_to(*job.tensor);
  }

  void copy(const VectorJob& job) {
    std::byte* target = model_->weights_.data() + job.offset;
    std::memcpy(target, job.tensor->data, job.tensor->num_bytes);
    *job.target = reinterpret_cast<const float*>(target);
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw Error(model_->file_->path() + ": tensor " + name + " " + what + "; take another file");
  }

  std::shared_ptr<Model> model_;
  const LoadOptions options_;
  int num_threads_ = 1;
  std::vector<MatrixJob> matrices_;
  std::vector<VectorJob> vectors_;
  std::set<std::string> known_;
  size_t total_bytes_ = 0;
  bool tied_ = true;
};

std::shared_ptr<Model> Model::load(const std::string& path, const LoadOptions& options) {
  return Loader(path, options).run();
}

}  // namespace phonelm
