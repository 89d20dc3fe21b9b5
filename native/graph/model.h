// A model in memory: its configuration, its tokenizer, and its weights packed for the kernels. Immutable once
// loaded, but for the thread team, which runs one session's work at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "graph/config.h"
#include "graph/scratch.h"
#include "kernels/kernels.h"
#include "threads/pool.h"
#include "tokenizer/tokenizer.h"

namespace phonelm {

struct Layer {
  const float* attention_norm = nullptr;
  PackedMatrix query, key, value, output;
  const float* ffn_norm = nullptr;
  PackedMatrix gate, up, down;  // no gate in a plain FFN
};

struct LoadOptions {
  std::string isa;      // "" = PHONELM_ISA, or the fastest
  int num_threads = 0;  // 0 = one for each core
};

class Model {
 public:
  // Throws Error (broken or unsupported file) or std::system_error (file not there or not readable).
  static std::shared_ptr<Model> load(const std::string& path, const LoadOptions& options);

  const ModelConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const GgufFile& file() const { return *file_; }
  const Kernels& kernels() const { return *kernels_; }
  ThreadPool& threads() const { return *threads_; }
  // Only inside `threads().run`.
  const Scratch& scratch() const { return *scratch_; }

  const PackedMatrix& embedding() const { return embedding_; }
  // The embedding itself where the two are tied.
  const PackedMatrix& head() const { return head_; }
  const float* output_norm() const { return output_norm_; }
  const std::vector<Layer>& layers() const { return layers_; }
  // What the kernels read, norms included.
  size_t weight_bytes() const { return weights_.size(); }

 private:
  friend class Loader;
  Model() = default;

  ModelConfig config_;
  std::shared_ptr<GgufFile> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  const Kernels* kernels_ = nullptr;
  std::unique_ptr<ThreadPool> threads_;
  std::unique_ptr<Scratch> scratch_;
  Buffer weights_;
  PackedMatrix embedding_;
  PackedMatrix head_;
  const float* output_norm_ = nullptr;
  std::vector<Layer> layers_;
};

// Validates a user's choice (0 = all cores). Throws Error for less than 0 or more than 256.
int resolve_num_threads(int num_threads);

}  // namespace phonelm
