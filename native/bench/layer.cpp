#include "bench/layer.h"

#include <cmath>
#include <cstring>
#include <random>

#include "graph/rope.h"

namespace phonelm {

namespace {

// No multiple of any width: the second time through the pattern, calls begin elsewhere in it.
constexpr int kPatternPeriod = 1'000'003;

ModelConfig config_of(const LayerSizes& sizes) {
  ModelConfig config;
  config.vocab_size = kPanelRows;
  config.hidden_size = sizes.hidden_size;
  config.context_length = sizes.context;
  config.norm.eps = 1e-5f;
  Rope rope;
  rope.frequencies = rope_frequencies(10000.0f, sizes.shape.attention.head_dim);
  config.ropes.push_back(std::move(rope));
  config.layers.assign(static_cast<size_t>(sizes.num_layers), sizes.shape);
  return config;
}

// Parts of a softmax that are put together although no attention ran.
void fill_parts(const Scratch& scratch) {
  for (const AttentionScratch& thread : scratch.threads) {
    fill(thread.part_weighted);
    std::fill_n(thread.part_state.row(0), thread.part_state.buffer.size() / sizeof(float), 1.0f);
  }
}

}  // namespace

BenchLayer::BenchLayer(Bench& bench, const LayerSizes& sizes)
    : bench_(bench),
      sizes_(sizes),
      config_(config_of(sizes)),
      tokens_(static_cast<size_t>(sizes.num_tokens)),
      norm_weights_(1, sizes.hidden_size),
      norm_{.weight = norm_weights_.row(0), .eps = config_.norm.eps},
      own_(static_cast<size_t>(bench.pool().num_threads())) {
  std::fill_n(norm_weights_.row(0), norm_weights_.stride, 1.0f);
  Layer layer;
  layer.attention_norm = layer.ffn_norm = norm_;
  for (Own& own : own_) own.layers.assign(static_cast<size_t>(sizes.num_layers), layer);
}

void BenchLayer::add(size_t num_bytes, std::function<void(Own&, const std::byte*)> place) {
  weights_.push_back({round_up(num_bytes, kLineBytes), std::move(place)});
}

void BenchLayer::add(Linear Layer::* matrix, int rows, int cols) {
  require_measurable(cols % tile_cols(sizes_.type) == 0,
                     std::to_string(cols) + " columns are not whole blocks");
  const PackedMatrix packed = packed_layout(sizes_.type, rows, cols);
  for (Own& own : own_) static_cast<PackedMatrix&>(own.layers[0].*matrix) = packed;
  add(packed.num_bytes(), [matrix](Own& own, const std::byte* data) { (own.layers[0].*matrix).data = data; });
}

void BenchLayer::add_outer(TensorType type, int rows) {
  require_measurable(sizes_.hidden_size % tile_cols(type) == 0,
                     std::to_string(sizes_.hidden_size) + " columns are not whole blocks");
  const PackedMatrix packed = packed_layout(type, rows, sizes_.hidden_size);
  for (Own& own : own_) own.outer = packed;
  add(packed.num_bytes(), [](Own& own, const std::byte* data) { own.outer.data = data; });
}

void BenchLayer::add_neuron_rows(int rows, int cols) {
  const NeuronRows packed = neuron_rows_layout(sizes_.type, rows, cols);
  for (Own& own : own_) own.layers[0].up_rows = packed;
  add(packed.num_bytes(), [](Own& own, const std::byte* data) { own.layers[0].up_rows.data = data; });
}

void BenchLayer::add_neuron_columns(int rows, int cols) {
  const NeuronColumns packed = neuron_columns_layout(sizes_.type, rows, cols);
  for (Own& own : own_) own.layers[0].down_columns = packed;
  add(packed.num_bytes(), [](Own& own, const std::byte* data) { own.layers[0].down_columns.data = data; });
}

void BenchLayer::add_live_pattern(Linear Layer::* first, int num_neurons, int live_percent) {
  constexpr float kOutweighs = 100.0f;
  std::minstd_rand random(1);
  std::normal_distribution<float> normal;
  live_matrix_ = first;
  live_pattern_.resize(static_cast<size_t>(kPatternPeriod + num_neurons));
  for (float& bias : live_pattern_) {
    const bool live = static_cast<int>(random() % 100) < live_percent;
    bias = (live ? kOutweighs : -kOutweighs) * (1.0f + std::fabs(normal(random)));
  }
}

size_t BenchLayer::layer_bytes() const {
  size_t num_bytes = 0;
  for (const Weights& weights : weights_) num_bytes += weights.num_bytes;
  return num_bytes;
}

void BenchLayer::set_weights(Own& own, const std::byte* memory, int call) const {
  for (const Weights& weights : weights_) {
    weights.place(own, memory);
    memory += weights.num_bytes;
  }
  if (!live_matrix_) return;
  const int64_t first = static_cast<int64_t>(call) * sizes_.shape.ffn.intermediate_size % kPatternPeriod;
  (own.layers[0].*live_matrix_).bias = live_pattern_.data() + first;
}

std::vector<Pass> BenchLayer::passes(const Scratch& scratch, const Plan& plan) const {
  std::vector<Pass> passes;
  for (const Own& own : own_) {
    const Graph graph{config_, bench_.kernels(), bench_.pool(), scratch, own.outer, own.outer,
                      norm_,   own.layers,       no_operators_};
    passes.emplace_back(graph, tokens_, plan, PassOptions{bench_.pool().num_threads()});
  }
  return passes;
}

Plan BenchLayer::plan(const KvCache* cache) const {
  const Segment segment{cache, 0, sizes_.context - sizes_.num_tokens, sizes_.num_tokens};
  return Plan({&segment, 1});
}

template <typename Run>
double BenchLayer::time_passes(const std::vector<Pass>& passes, Run run) {
  const size_t num_bytes = layer_bytes();
  const size_t footprint = std::max(bench_.footprint(), num_bytes);
  const std::byte* memory = bench_.arena(footprint + num_bytes);
  return bench_.median_call([&](int thread, int call) {
    const auto index = static_cast<size_t>(thread);
    set_weights(own_[index], memory + footprint_offset(call, num_bytes, footprint), call);
    run(passes[index], thread);
  });
}

double BenchLayer::time(OperatorKind kind, std::initializer_list<Rows Scratch::*> outputs) {
  const Scratch scratch(config_, sizes_.num_tokens, bench_.pool().num_threads());
  fill(scratch.residual);
  fill(scratch.attention);
  fill_parts(scratch);
  const Plan places = plan(nullptr);
  return time_passes(passes(scratch, places), [&](const Pass& pass, int thread) {
    pass.run({kind}, thread);
    for (Rows Scratch::* rows : outputs) read_back(bench_, scratch.*rows, sizes_.num_tokens, thread);
  });
}

double BenchLayer::time_head(int vocab_size) {
  add_outer(sizes_.type, vocab_size);
  const Scratch scratch(config_, 1, bench_.pool().num_threads());
  fill(scratch.residual);
  const Plan places = plan(nullptr);
  const Rows logits(1, vocab_size);
  constexpr int32_t kFirst[] = {0};
  return time_passes(passes(scratch, places), [&](const Pass& pass, int thread) {
    pass.run_head(kFirst, true, logits.row(0), logits.stride, thread);
    bench_.pool().barrier();
  });
}

double BenchLayer::time_embed(int vocab_size) {
  add_outer(TensorType::Q8_0, vocab_size);
  const std::byte* memory = bench_.arena(layer_bytes());
  for (Own& own : own_) set_weights(own, memory, 0);
  const Scratch scratch(config_, sizes_.num_tokens, bench_.pool().num_threads());
  const Plan places = plan(nullptr);
  const std::vector<Pass> of_threads = passes(scratch, places);
  // The calls are timed on a team of one, so that each wakes the measured team again.
  ThreadPool single(1);
  return bench_.median_call(single, [&](int, int call) {
    for (size_t token = 0; token < tokens_.size(); ++token) {
      const size_t row = (static_cast<size_t>(call) + token) * 7919;
      tokens_[token] = static_cast<int32_t>(row % static_cast<size_t>(vocab_size));
    }
    bench_.pool().run(
        [&](int thread) { of_threads[static_cast<size_t>(thread)].run({OperatorKind::Embed}, thread); });
  });
}

double BenchLayer::time_attention(const KvCache& cache) {
  const int num_threads = bench_.pool().num_threads();
  // Two, because a fast thread may begin the next call while a slow one still reads what this one gave.
  const Scratch scratches[2] = {{config_, sizes_.num_tokens, num_threads},
                                {config_, sizes_.num_tokens, num_threads}};
  const Plan places = plan(&cache);
  std::vector<Pass> of_scratches;
  for (const Scratch& scratch : scratches) {
    for (int token = 0; token < sizes_.num_tokens; ++token) {
      rope_angles(config_, sizes_.context - sizes_.num_tokens + token, false, scratch.cosines.row(token),
                  scratch.sines.row(token));
    }
    of_scratches.push_back(passes(scratch, places)[0]);
  }
  const size_t others = bench_.footprint() / static_cast<size_t>(sizes_.num_layers);
  return bench_.median_call_between(others, [&](int thread, int call) {
    const auto index = static_cast<size_t>(call % 2);
    of_scratches[index].run({OperatorKind::Attend, call % sizes_.num_layers}, thread);
    const Scratch& scratch = scratches[index];
    if (sizes_.num_tokens > 1) return read_back(bench_, scratch.attention, sizes_.num_tokens, thread);
    for (const AttentionScratch& part : scratch.threads) read_back(bench_, part.part_weighted, 1, thread);
  });
}

}  // namespace phonelm
