#include "bench/operators.h"

#include <cmath>
#include <cstring>
#include <memory>

#include "bench/layer.h"
#include "graph/kv_cache.h"
#include "sampling/sampler.h"

namespace phonelm {

namespace {

// Layers of the model whose keys and values attention goes through, and the most that these may take.
constexpr size_t kNumLayers = 64;
constexpr size_t kMaxKvBytes = size_t{48} << 20;
constexpr int kHeadDim = 64;

// Of an attention of so many columns.
AttentionShape attention_of(int width) {
  const int head_dim = width % kHeadDim == 0 ? kHeadDim : width;
  return {.num_heads = width / head_dim, .num_kv_heads = width / head_dim, .head_dim = head_dim};
}

LayerSizes sizes_of(TensorType type, int hidden_size, int num_tokens) {
  LayerSizes sizes{.type = type, .hidden_size = hidden_size, .num_tokens = num_tokens, .context = num_tokens};
  sizes.shape.attention = attention_of(kHeadDim);
  sizes.shape.ffn.intermediate_size = kPanelRows;
  return sizes;
}

}  // namespace

double bench_matmul(Bench& bench, TensorType type, int rows, int cols, int num_tokens) {
  require_sizes({rows, cols, num_tokens});
  require_measurable(cols % tile_cols(type) == 0, std::to_string(cols) + " columns are not whole blocks");
  const PackedMatrix matrix = packed_layout(type, rows, cols);
  const size_t footprint = std::max(bench.footprint(), matrix.num_bytes());
  const std::byte* weights = bench.arena(footprint + matrix.num_bytes());
  const InputBuffer memory(num_tokens, cols);
  const Activations input = filled_input(bench.kernels(), memory, num_tokens, cols);
  // Two, because a fast thread may write the next product while a slow one still reads this one.
  const Rows outs[2] = {Rows(num_tokens, rows), Rows(num_tokens, rows)};
  return bench.median_call([&](int thread, int call) {
    PackedMatrix copy = matrix;
    copy.data = weights + footprint_offset(call, matrix.num_bytes(), footprint);
    const Range share = bench.share(matrix.num_panels, thread);
    const Rows& out = outs[call % 2];
    bench.kernels().matmul(copy, share.begin, share.end, input, out.row(0), out.stride, false);
    bench.pool().barrier();
    read_back(bench, out, num_tokens, thread);
  });
}

double bench_attention(Bench& bench, int num_heads, int num_kv_heads, int head_dim, int context,
                       int num_tokens, KvType kv_type) {
  require_sizes({num_heads, num_kv_heads, head_dim, context, num_tokens});
  require_measurable(num_heads % num_kv_heads == 0 && head_dim % 2 == 0, "heads do not fit together");
  require_measurable(num_tokens <= context && num_tokens <= Scratch::kMaxChunk, "too many tokens");
  const size_t layer_bytes =
      size_t{4} * static_cast<size_t>(num_kv_heads * head_dim) * static_cast<size_t>(context);
  LayerSizes sizes{.num_tokens = num_tokens, .context = context};
  sizes.shape.attention = {.num_heads = num_heads, .num_kv_heads = num_kv_heads, .head_dim = head_dim};
  sizes.shape.attention.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  sizes.num_layers = static_cast<int>(std::clamp<size_t>(kMaxKvBytes / layer_bytes, 1, kNumLayers));
  ModelConfig config;
  config.layers.assign(static_cast<size_t>(sizes.num_layers), sizes.shape);
  const KvCache cache(config, context, kv_type);
  // Pages that were never written are all one page, which the L1 cache holds.
  cache.for_each_run(context, [](std::span<std::byte> run) { std::memset(run.data(), 0x3c, run.size()); });
  return BenchLayer(bench, sizes).time_attention(cache);
}

double bench_project(Bench& bench, TensorType type, int rows, int hidden_size, int num_tokens) {
  require_sizes({rows, hidden_size, num_tokens});
  require_measurable(rows % (4 * kPanelRows) == 0, std::to_string(rows) + " rows are not four times 16");
  LayerSizes sizes = sizes_of(type, hidden_size, num_tokens);
  sizes.shape.attention = {.num_heads = 2, .num_kv_heads = 1, .head_dim = rows / 4};
  BenchLayer layer(bench, sizes);
  layer.add(&Layer::query, rows / 2, hidden_size);
  layer.add(&Layer::key, rows / 4, hidden_size);
  layer.add(&Layer::value, rows / 4, hidden_size);
  return layer.time(OperatorKind::Project, {&Scratch::query, &Scratch::key, &Scratch::value});
}

double bench_add_attention(Bench& bench, TensorType type, int hidden_size, int width, int num_tokens) {
  require_sizes({hidden_size, width, num_tokens});
  LayerSizes sizes = sizes_of(type, hidden_size, num_tokens);
  sizes.shape.attention = attention_of(width);
  BenchLayer layer(bench, sizes);
  layer.add(&Layer::output, hidden_size, width);
  return layer.time(OperatorKind::AddAttention, {&Scratch::residual});
}

double bench_ffn(Bench& bench, TensorType type, bool gated, int hidden_size, int intermediate_size,
                 int num_tokens) {
  require_sizes({hidden_size, intermediate_size, num_tokens});
  LayerSizes sizes = sizes_of(type, hidden_size, num_tokens);
  sizes.shape.ffn = {intermediate_size, gated, Activation::Silu};
  BenchLayer layer(bench, sizes);
  layer.add(&Layer::up, intermediate_size, hidden_size);
  if (gated) layer.add(&Layer::gate, intermediate_size, hidden_size);
  layer.add(&Layer::down, hidden_size, intermediate_size);
  return layer.time(OperatorKind::Ffn, {&Scratch::residual});
}

double bench_neurons(Bench& bench, TensorType type, bool gated, int hidden_size, int intermediate_size,
                     int live_percent, int num_tokens) {
  require_sizes({hidden_size, intermediate_size, num_tokens});
  require_measurable(neuron_layout_fits(type, hidden_size, intermediate_size),
                     "an FFN of these sizes and type is not stored neuron by neuron");
  LayerSizes sizes = sizes_of(type, hidden_size, num_tokens);
  sizes.shape.ffn = {intermediate_size, gated, gated ? Activation::Relu : Activation::Relu2};
  BenchLayer layer(bench, sizes);
  Linear Layer::* first = gated ? &Layer::gate : &Layer::up;
  layer.add(first, intermediate_size, hidden_size);
  if (gated) layer.add_neuron_rows(intermediate_size, hidden_size);
  layer.add_neuron_columns(hidden_size, intermediate_size);
  layer.add_live_pattern(first, intermediate_size, live_percent);
  return layer.time(OperatorKind::NeuronFfn, {&Scratch::residual});
}

double bench_head(Bench& bench, TensorType type, int vocab_size, int hidden_size) {
  require_sizes({vocab_size, hidden_size});
  return BenchLayer(bench, sizes_of(type, hidden_size, 1)).time_head(vocab_size);
}

double bench_embed(Bench& bench, int vocab_size, int hidden_size, int num_tokens) {
  require_sizes({vocab_size, hidden_size, num_tokens});
  return BenchLayer(bench, sizes_of(TensorType::Q8_0, hidden_size, num_tokens)).time_embed(vocab_size);
}

double bench_sampling(Bench& bench, int vocab_size) {
  require_sizes({vocab_size});
  const Rows logits(1, vocab_size);
  fill(logits);
  Sampler sampler({});
  return bench.median_call([&](int thread, int call) {
    // Written by all threads, as the head does: the half of the others comes over from their caches.
    const Range share = bench.share(vocab_size, thread, kPanelRows);
    std::fill_n(logits.row(0) + share.begin, share.end - share.begin, static_cast<float>(call % 7));
    bench.pool().barrier();
    if (thread == 0) sampler.sample({logits.row(0), static_cast<size_t>(vocab_size)});
    bench.pool().barrier();
  });
}

double bench_barrier(Bench& bench) {
  return bench.median_call([&](int, int) { bench.pool().barrier(); });
}

double read_bandwidth(Bench& bench, size_t num_bytes) {
  require_measurable(num_bytes >= 4096, std::to_string(num_bytes) + " bytes to read");
  const std::byte* memory = bench.arena(num_bytes);
  const double seconds = bench.median_call([&](int thread, int) {
    bench.read_share(memory, num_bytes, thread);
    bench.pool().barrier();
  });
  return static_cast<double>(num_bytes) / seconds;
}

double peak_int8_ops(int num_threads, const std::string& isa) {
  Bench bench({.footprint_bytes = 0, .min_time_ms = 30.0, .isa = isa, .num_threads = num_threads});
  const int rows = kPanelRows * 2 * bench.pool().num_threads();
  constexpr int kCols = 512;
  const double seconds = bench_matmul(bench, TensorType::Q8_0, rows, kCols, kTokenBlock);
  return 2.0 * rows * kCols * kTokenBlock / seconds;
}

}  // namespace phonelm
