#include "graph/footprint.h"

#include "graph/scratch.h"

namespace phonelm {

namespace {
// Of an input of a product: a float, two quants, and twelve numbers for each group of 32.
constexpr size_t kInputBytes = 8;
}  // namespace

size_t buffer_bytes(const ModelConfig& config, int num_threads) {
  const auto size = [](int count) { return static_cast<size_t>(count); };
  const size_t width = size(config.num_heads) * size(config.head_dim);
  const size_t kv_width = size(config.num_kv_heads) * size(config.head_dim);
  const size_t input = kInputBytes * size(Scratch::widest(config));
  const size_t rows = 2 * (width + kv_width + size(config.intermediate_size));
  const size_t hidden = size(config.hidden_size) * (config.post_norm ? 2 : 1);
  const size_t of_token = input + sizeof(float) * (hidden + rows + 2 * size(config.num_angles()));
  const size_t scores = size(kTokenBlock) * size(Scratch::kKeyBlock + config.head_dim);
  const size_t parts = size(AttentionScratch::num_parts(config, num_threads));
  const size_t attention = sizeof(float) * (scores + parts * (size(config.head_dim) + 2));
  const size_t neurons = sizeof(int32_t) * size(config.intermediate_size) + Scratch::largest_panel(config);
  const size_t of_thread = input + attention + neurons;
  return size(std::min(config.context_length, Scratch::kMaxChunk)) * of_token +
         size(num_threads) * of_thread + sizeof(float) * size(config.vocab_size);
}

}  // namespace phonelm
