#include "graph/model.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "core/error.h"

namespace phonelm {

namespace {
constexpr size_t kAlignment = 64;
// The decode kernels prefetch past a panel's end; the last panel's reach must stay inside the buffer's pages.
constexpr size_t kTailBytes = 4096;
constexpr int kMaxThreads = 256;
}  // namespace

int resolve_num_threads(int num_threads) {
  if (num_threads == 0) return std::min(num_usable_cores(), kMaxThreads);
  if (num_threads < 0 || num_threads > kMaxThreads) {
    throw Error("threads is " + std::to_string(num_threads) + "; take 1 to " + std::to_string(kMaxThreads) +
                ", or 0 for one a core");
  }
  return num_threads;
}

// Checks every tensor first, then gets the memory, then packs: a broken file costs no memory.
class Loader {
 public:
  Loader(const std::string& path, const LoadOptions& options) : model_(new Model) {
    model_->kernels_ = &select_kernels(options.isa);
    const int num_threads = resolve_num_threads(options.num_threads);
    model_->file_ = GgufFile::open(path);
    model_->config_ = read_config(*model_->file_);
    model_->tokenizer_ = Tokenizer::from_gguf(*model_->file_);
    model_->config_.vocab_size = model_->tokenizer_->vocab_size();
    model_->threads_ = std::make_unique<ThreadPool>(num_threads);
  }

  std::shared_ptr<Model> run() {
    plan();
    // Side by side: among the matrices, each would make a huge page resident before its time.
    for (auto& job : vectors_) job.offset = reserve(job.tensor->num_bytes);
    model_->weights_ = Buffer(total_bytes_ + kTailBytes, Pages::Huge);
    for (const auto& job : vectors_) copy(job);
    // In the file's order, so that what was read can be given back behind the reader: memory never holds the
    // weights twice.
    std::sort(matrices_.begin(), matrices_.end(),
              [](const MatrixJob& a, const MatrixJob& b) { return a.tensor->offset < b.tensor->offset; });
    for (const auto& job : matrices_) pack(job);
    if (tied_) model_->head_ = model_->embedding_;
    const int num_threads = model_->threads_->num_threads();
    model_->scratch_ =
        std::make_unique<Scratch>(model_->config_, model_->config_.context_length, num_threads);
    return std::move(model_);
  }

 private:
  struct MatrixJob {
    const TensorInfo* tensor;
    PackedMatrix* matrix;
    size_t offset;
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
      if (config.gated)
        matrix(block + "ffn_gate.weight", config.intermediate_size, config.hidden_size, &layer.gate);
      matrix(block + "ffn_up.weight", config.intermediate_size, config.hidden_size, &layer.up);
      matrix(block + "ffn_down.weight", config.hidden_size, config.intermediate_size, &layer.down);
    }
    for (const TensorInfo& tensor : model_->file_->tensors()) {
      if (!known_.contains(tensor.name)) {
        refuse(tensor.name, "is not part of a " + config.architecture + " model as this runtime builds it");
      }
    }
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
    matrices_.push_back({&tensor, target, reserve(target->num_bytes())});
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

  void pack(const MatrixJob& job) {
    std::byte* target = model_->weights_.data() + job.offset;
    job.matrix->data = target;
    ThreadPool& threads = *model_->threads_;
    threads.run([&](int thread) {
      const Range share = share_of(job.matrix->num_panels, thread, threads.num_threads());
      pack_panels(*job.matrix, job.tensor->data, share.begin, share.end, target);
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
