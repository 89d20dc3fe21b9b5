// Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685) over the matrices of a loaded model:
// y = W x + scale * B (A x). They lie beside the packed weights, which stay as they are, so that another set
// of adapters is another argument of a pass and nothing else.
//
// Files are GGUF as llama.cpp's convert_lora_to_gguf.py writes them: general.type "adapter", adapter.type
// "lora", adapter.lora.alpha, and for a matrix NAME the tensors NAME.lora_a (A) and NAME.lora_b (B).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "graph/adapter_file.h"
#include "graph/model.h"

namespace phonelm {

// All adapters of one matrix: their A lie below each other and their B side by side, so that several cost no
// more products than one.
struct LowRank {
  PackedMatrix a;                 // rank x columns
  PackedMatrix b;                 // rows x rank
  const float* scales = nullptr;  // of the numbers of A x
  int place = 0;                  // of A x among the products that read the same input

  bool empty() const { return a.rows == 0; }
  int rank() const { return a.rows; }
};

struct LayerAdapters {
  LowRank query, key, value, output, gate, up, down;
};

// Adapters that are added up. Immutable, but for the working memory of one pass at a time.
class Adapters {
 public:
  // Throws Error for a file that is broken or no LoRA adapter, of another architecture or other shapes, for a
  // matrix that the model does not have, a scale that is not finite, and what does not fit into memory;
  // std::system_error for a file that is not there or not readable.
  static std::shared_ptr<Adapters> load(std::shared_ptr<const Model> model,
                                        std::span<const AdapterSource> sources);

  const Model& model() const { return *model_; }
  const LayerAdapters& layer(int index) const { return layers_[static_cast<size_t>(index)]; }
  const LowRank& head() const { return head_; }
  // Matrices and scales, as they lie in memory.
  std::span<const std::byte> weights() const { return {weights_.data(), weights_.size()}; }
  // Weights and working memory.
  size_t num_bytes() const { return weights_.size() + working_bytes_; }

  // Where A x goes, one row per token: one token's are made by every thread for itself, a batch's together.
  // Only inside `model().threads().run`.
  const Rows& products(int num_tokens, int thread) const {
    return num_tokens == 1 ? own_products_[static_cast<size_t>(thread)] : *shared_products_;
  }

 private:
  friend class AdapterLoader;
  Adapters() = default;

  std::shared_ptr<const Model> model_;
  Buffer weights_;
  std::vector<LayerAdapters> layers_;
  LowRank head_;
  size_t working_bytes_ = 0;
  std::unique_ptr<Rows> shared_products_;
  std::vector<Rows> own_products_;
};

// Throws Error where the adapters are of another model than this one; none are of any.
void check_adapters(const Model& model, const Adapters* adapters);

}  // namespace phonelm
