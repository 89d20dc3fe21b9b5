// A model in memory: its configuration, its tokenizer, and its weights packed for the kernels. Immutable once
// loaded, but for the thread team, which runs one session's work at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "graph/config.h"
#include "graph/graph.h"
#include "graph/kv_cache.h"
#include "graph/layer.h"
#include "graph/scratch.h"
#include "graph/tuning.h"
#include "kernels/kernels.h"
#include "threads/pool.h"
#include "tokenizer/tokenizer.h"

namespace phonelm {

struct LoadOptions {
  std::string isa;                 // "" = PHONELM_ISA, or the fastest
  std::optional<int> num_threads;  // none: as many as are fastest, by measurement
  // Store ReLU FFNs neuron by neuron where their types and sizes allow it.
  bool sparse_ffn = true;
  // Of the sessions to come, so that a model that leaves no room for them is refused; 0 = not known yet.
  int context_length = 0;
  KvType kv_type = KvType::F16;
};

class Model {
 public:
  // Throws Error (broken or unsupported file, not enough memory) or std::system_error (file not there or not
  // readable).
  static std::shared_ptr<Model> load(const std::string& path, const LoadOptions& options);

  const ModelConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const GgufFile& file() const { return *file_; }
  const Kernels& kernels() const { return *kernels_; }
  ThreadPool& threads() const { return *threads_; }
  // How many of the threads evaluate one token, and how many a batch.
  int decode_threads() const { return thread_choice_.decode; }
  int prefill_threads() const { return thread_choice_.prefill; }
  int threads_for(int num_tokens) const { return num_tokens == 1 ? decode_threads() : prefill_threads(); }
  // Only inside `threads().run`.
  const Scratch& scratch() const { return *scratch_; }

  const PackedMatrix& embedding() const { return embedding_; }
  // The embedding itself where the two are tied.
  const PackedMatrix& head() const { return head_; }
  const std::vector<Layer>& layers() const { return layers_; }
  // What a pass runs over.
  Graph graph() const {
    return {config_, *kernels_, *threads_, *scratch_, embedding_, head_, output_norm_, layers_, operators_};
  }
  // What the kernels read, norms included.
  size_t weight_bytes() const { return weights_.size(); }
  std::span<const std::byte> weights() const { return {weights_.data(), weights_.size()}; }

 private:
  friend class Loader;
  Model() = default;

  ModelConfig config_;
  std::shared_ptr<GgufFile> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  const Kernels* kernels_ = nullptr;
  std::unique_ptr<ThreadPool> threads_;
  ThreadChoice thread_choice_;
  std::unique_ptr<Scratch> scratch_;
  Buffer weights_;
  PackedMatrix embedding_;
  PackedMatrix head_;
  Norm output_norm_;
  std::vector<Layer> layers_;
  std::vector<Operator> operators_;
};

// A team never has more.
inline constexpr int kMaxThreads = 256;
// Throws Error for a number of threads that is less than 1 or more than kMaxThreads.
int checked_num_threads(int num_threads);
// Validates a number of threads (0 = all cores). Throws Error for less than 0 or more than kMaxThreads.
int resolve_num_threads(int num_threads);

}  // namespace phonelm
