#include "bench/operators.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/error.h"
#include "graph/attention.h"
#include "graph/rope.h"
#include "sampling/sampler.h"

namespace phonelm {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxFootprint = size_t{2} << 30;
constexpr int kNumSamples = 5;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void require(bool holds, const std::string& what) {
  if (!holds) throw Error("cannot measure an operator: " + what);
}

void require_sizes(std::initializer_list<int> sizes) {
  for (const int size : sizes) require(size > 0 && size <= (1 << 22), "size " + std::to_string(size));
}

// Median seconds of `work(thread, call)` over samples that each last at least a share of the time asked for.
template <typename Work>
double median_call(ThreadPool& pool, double min_time_ms, Work&& work) {
  const auto time_calls = [&](int num_calls) {
    const auto start = Clock::now();
    pool.run([&](int thread) {
      for (int call = 0; call < num_calls; ++call) work(thread, call);
    });
    return seconds_since(start);
  };
  const double goal = std::max(min_time_ms, 0.1) * 1e-3 / kNumSamples;
  int num_calls = 1;
  while (true) {
    const double taken = time_calls(num_calls);
    if (taken >= goal || num_calls >= (1 << 24)) break;
    num_calls = taken > goal / 16 ? static_cast<int>(num_calls * goal / taken) + 1 : num_calls * 8;
  }
  std::vector<double> samples;
  for (int i = 0; i < kNumSamples; ++i) samples.push_back(time_calls(num_calls) / num_calls);
  std::sort(samples.begin(), samples.end());
  return samples[kNumSamples / 2];
}

// The team and kernels of a measurement.
struct Bench {
  explicit Bench(const BenchOptions& options)
      : kernels(select_kernels(options.isa)),
        pool(resolve_num_threads(options.num_threads)),
        min_time_ms(options.min_time_ms),
        footprint(std::min(options.footprint_bytes, kMaxFootprint)) {}

  int num_copies(size_t bytes) const {
    return static_cast<int>(std::max<size_t>(1, footprint / std::max<size_t>(bytes, 1)));
  }
  Range share(int total, int thread, int granule = 1) const {
    return share_of(total, thread, pool.num_threads(), granule);
  }

  const Kernels& kernels;
  mutable ThreadPool pool;
  const double min_time_ms;
  const size_t footprint;
};

// Bytes that are small normal numbers in every type (no zeros to skip, no denormals to trip over) and differ
// from page to page, as a model's do.
void fill(const Buffer& buffer) {
  std::minstd_rand random(1);
  auto* bytes = buffer.as<uint8_t>();
  for (size_t i = 0; i < buffer.size(); ++i)
    bytes[i] = static_cast<uint8_t>(0x28 + (i % 64 == 0 ? random() % 4 : 2));
}

Activations filled_input(const Kernels& kernels, const InputBuffer& memory, int num_tokens, int cols) {
  const Activations input = memory.view(num_tokens, cols);
  std::minstd_rand random(1);
  std::normal_distribution<float> bell;
  for (int token = 0; token < num_tokens; ++token) {
    for (int i = 0; i < cols; ++i) memory.values(token)[i] = bell(random);
    kernels.quantize(memory.values(token), token, input);
  }
  return input;
}

// What the next operator does first: it reads rows of which the other threads have just written a part, so
// that they have to come over from the other cores' caches.
void read_back(const Bench& bench, const Rows& rows, int num_tokens, int thread) {
  const Range share = num_tokens == 1 ? Range{0, 1} : bench.share(num_tokens, thread, kTokenBlock);
  for (int token = share.begin; token < share.end; ++token) {
    for (int i = 0; i < rows.stride; i += kPanelRows) {
      const volatile float* line = rows.row(token) + i;
      static_cast<void>(*line);
    }
  }
}

ModelConfig attention_config(int num_heads, int num_kv_heads, int head_dim, int num_layers) {
  ModelConfig config;
  config.hidden_size = config.intermediate_size = config.vocab_size = kPanelRows;
  config.num_layers = num_layers;
  config.num_heads = num_heads;
  config.num_kv_heads = num_kv_heads;
  config.head_dim = config.rope_dim = head_dim;
  config.attention_scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  config.ropes.push_back({rope_frequencies(10000.0f, head_dim), {}, 1.0f});
  config.layers.resize(static_cast<size_t>(num_layers));
  return config;
}

}  // namespace

double bench_matmul(TensorType type, int rows, int cols, int num_tokens, const BenchOptions& options) {
  require_sizes({rows, cols, num_tokens});
  require(cols % tile_cols(type) == 0, std::to_string(cols) + " columns are not whole blocks");
  const Bench bench(options);
  PackedMatrix matrix = packed_layout(type, rows, cols);
  const int num_copies = bench.num_copies(matrix.num_bytes());
  const Buffer weights(matrix.num_bytes() * static_cast<size_t>(num_copies) + 4096, Pages::Huge);
  fill(weights);
  const InputBuffer memory(num_tokens, cols);
  const Activations input = filled_input(bench.kernels, memory, num_tokens, cols);
  // Two, because a fast thread may write the next product while a slow one still reads this one.
  const Rows outs[2] = {Rows(num_tokens, rows), Rows(num_tokens, rows)};
  return median_call(bench.pool, bench.min_time_ms, [&](int thread, int call) {
    PackedMatrix copy = matrix;
    copy.data = weights.data() + static_cast<size_t>(call % num_copies) * matrix.num_bytes();
    const Range share = bench.share(matrix.num_panels, thread);
    const Rows& out = outs[call % 2];
    bench.kernels.matmul(copy, share.begin, share.end, input, out.row(0), out.stride, false);
    bench.pool.barrier();
    read_back(bench, out, num_tokens, thread);
  });
}

double bench_attention(int num_heads, int num_kv_heads, int head_dim, int context, int num_tokens,
                       const BenchOptions& options, KvType kv_type) {
  require_sizes({num_heads, num_kv_heads, head_dim, context, num_tokens});
  require(num_heads % num_kv_heads == 0 && head_dim % 2 == 0, "heads do not fit together");
  require(num_tokens <= context && num_tokens <= Scratch::kMaxChunk, "too many tokens");
  const Bench bench(options);
  const size_t layer_bytes =
      size_t{4} * static_cast<size_t>(num_kv_heads * head_dim) * static_cast<size_t>(context);
  const ModelConfig config =
      attention_config(num_heads, num_kv_heads, head_dim, std::min(bench.num_copies(layer_bytes), 64));
  const KvCache cache(config, context, kv_type);
  // Pages that were never written are all one page, which the first cache holds.
  cache.for_each_run(context, [](std::span<std::byte> run) { std::memset(run.data(), 0x3c, run.size()); });
  const Segment segment{&cache, 0, context - num_tokens, num_tokens};
  const Plan plan({&segment, 1});
  const int num_threads = bench.pool.num_threads();
  const Scratch scratches[2] = {{config, context, num_threads}, {config, context, num_threads}};
  for (const Scratch& scratch : scratches) {
    for (int token = 0; token < num_tokens; ++token) {
      rope_angles(config, context - num_tokens + token, false, scratch.cosines.row(token),
                  scratch.sines.row(token));
    }
  }
  return median_call(bench.pool, bench.min_time_ms, [&](int thread, int call) {
    const Scratch& scratch = scratches[call % 2];
    const AttentionJob job{config,      bench.kernels, scratch, plan, call % config.num_layers,
                           num_threads, num_tokens > 1};
    rotate_and_store(job, thread);
    bench.pool.barrier();
    attend(job, thread);
    bench.pool.barrier();
    if (num_tokens == 1) {
      combine_shares(job, scratch.own_input[static_cast<size_t>(thread)].values(0));
    } else {
      read_back(bench, scratch.attention, num_tokens, thread);
    }
  });
}

double bench_norm(int hidden_size, int num_tokens, const BenchOptions& options) {
  require_sizes({hidden_size, num_tokens});
  const Bench bench(options);
  const bool alone = num_tokens == 1;
  std::vector<InputBuffer> memories;
  for (int i = 0; i < (alone ? bench.pool.num_threads() : 1); ++i)
    memories.emplace_back(num_tokens, hidden_size);
  const Rows source(num_tokens, hidden_size);
  const Rows weight(1, hidden_size);
  fill(source.buffer);
  fill(weight.buffer);
  const Rows normed(bench.pool.num_threads(), hidden_size);
  return median_call(bench.pool, bench.min_time_ms, [&](int thread, int) {
    float* passing = normed.row(thread);
    const InputBuffer& memory = memories[alone ? static_cast<size_t>(thread) : 0];
    const Activations input = memory.view(num_tokens, hidden_size);
    const Range share = alone ? Range{0, 1} : bench.share(num_tokens, thread, kTokenBlock);
    for (int token = share.begin; token < share.end; ++token) {
      bench.kernels.rms_norm(source.row(token), weight.row(0), hidden_size, 1e-5f, passing);
      bench.kernels.quantize(passing, token, input);
    }
    if (!alone) bench.pool.barrier();
  });
}

double bench_activation(int intermediate_size, int num_tokens, const BenchOptions& options) {
  require_sizes({intermediate_size, num_tokens});
  const Bench bench(options);
  const bool alone = num_tokens == 1;
  std::vector<InputBuffer> memories;
  for (int i = 0; i < (alone ? bench.pool.num_threads() : 1); ++i)
    memories.emplace_back(num_tokens, intermediate_size);
  const Rows source(num_tokens, intermediate_size);
  const Rows gate(num_tokens, intermediate_size);
  const Rows up(num_tokens, intermediate_size);
  fill(source.buffer);
  fill(up.buffer);
  const int num_panels = gate.stride / kPanelRows;
  return median_call(bench.pool, bench.min_time_ms, [&](int thread, int) {
    const Range rows = bench.share(num_panels, thread);
    const int begin = rows.begin * kPanelRows;
    const int size = rows.end * kPanelRows - begin;
    for (int token = 0; token < num_tokens; ++token) {
      // Afresh each time: activating its own result again would shrink it to denormal numbers.
      std::memcpy(gate.row(token) + begin, source.row(token) + begin,
                  static_cast<size_t>(size) * sizeof(float));
      bench.kernels.activate(Activation::Silu, gate.row(token) + begin, up.row(token) + begin, size);
    }
    if (!alone) bench.pool.barrier();
    const InputBuffer& memory = memories[alone ? static_cast<size_t>(thread) : 0];
    const Activations input = memory.view(num_tokens, intermediate_size);
    const Range tokens = alone ? Range{0, 1} : bench.share(num_tokens, thread, kTokenBlock);
    for (int token = tokens.begin; token < tokens.end; ++token) {
      bench.kernels.quantize(gate.row(token), token, input);
    }
    if (!alone) bench.pool.barrier();
  });
}

double bench_token_overhead(int vocab_size, int hidden_size, int num_tokens, const BenchOptions& options) {
  require_sizes({vocab_size, hidden_size, num_tokens});
  require(hidden_size % kGroupSize == 0, std::to_string(hidden_size) + " columns are not whole blocks");
  const Bench bench(options);
  PackedMatrix embedding = packed_layout(TensorType::Q8_0, vocab_size, hidden_size);
  const Buffer weights(embedding.num_bytes(), Pages::Huge);
  fill(weights);
  embedding.data = weights.data();
  constexpr int kHeadDim = 64;
  const ModelConfig config = attention_config(1, 1, kHeadDim, 1);
  const Rows rows(num_tokens, hidden_size);
  const Rows cosines(num_tokens, kHeadDim / 2);
  const Rows sines(num_tokens, kHeadDim / 2);
  const Rows logits(1, vocab_size);
  Sampler sampler({});
  // The calls are timed on a team of one, so that each wakes the measured team anew.
  ThreadPool single(1);
  return median_call(single, bench.min_time_ms, [&](int, int call) {
    bench.pool.run([&](int thread) {
      const Range share = bench.share(num_tokens, thread);
      for (int token = share.begin; token < share.end; ++token) {
        const auto row = (static_cast<size_t>(call) + static_cast<size_t>(token)) * 7919;
        unpack_row(embedding, static_cast<int>(row % static_cast<size_t>(vocab_size)), rows.row(token));
        rope_angles(config, token, false, cosines.row(token), sines.row(token));
      }
      bench.pool.barrier();
    });
    sampler.sample({logits.row(0), static_cast<size_t>(vocab_size)});
  });
}

double read_bandwidth(size_t num_bytes, int num_threads, double min_time_ms) {
  require(num_bytes >= 4096 && num_bytes <= kMaxFootprint, std::to_string(num_bytes) + " bytes to read");
  ThreadPool pool(resolve_num_threads(num_threads));
  const size_t per_thread = num_bytes / static_cast<size_t>(pool.num_threads()) / 64 * 8;
  const Buffer memory(num_bytes, Pages::Huge);
  fill(memory);
  std::vector<uint64_t> sums(static_cast<size_t>(pool.num_threads()) * 8);
  const double seconds = median_call(pool, min_time_ms, [&](int thread, int) {
    const auto* words = memory.as<uint64_t>() + static_cast<size_t>(thread) * per_thread;
    uint64_t sum[8] = {};
    for (size_t i = 0; i + 8 <= per_thread; i += 8) {
      for (size_t lane = 0; lane < 8; ++lane) sum[lane] += words[i + lane];
    }
    for (size_t lane = 0; lane < 8; ++lane) sums[static_cast<size_t>(thread) * 8] += sum[lane];
    pool.barrier();
  });
  return static_cast<double>(per_thread * 8 * static_cast<size_t>(pool.num_threads())) / seconds;
}

double peak_int8_ops(int num_threads, const std::string& isa) {
  BenchOptions options;
  options.isa = isa;
  options.num_threads = num_threads;
  options.min_time_ms = 30.0;
  const int rows = kPanelRows * 2 * resolve_num_threads(num_threads);
  constexpr int kCols = 512;
  const double seconds = bench_matmul(TensorType::Q8_0, rows, kCols, kTokenBlock, options);
  return 2.0 * rows * kCols * kTokenBlock / seconds;
}

}  // namespace phonelm
