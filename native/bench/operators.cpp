#include "bench/operators.h"

#include <cmath>
#include <cstring>
#include <memory>

#include "bench/inputs.h"
#include "graph/attention.h"
#include "graph/model.h"
#include "graph/rope.h"
#include "sampling/sampler.h"

namespace phonelm {

namespace {

// Layers of the model that an operator stands in, and of the keys and values that its attention goes through.
constexpr size_t kNumLayers = 64;
constexpr size_t kMaxKvBytes = size_t{48} << 20;

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
  const size_t num_layers = std::clamp<size_t>(kMaxKvBytes / layer_bytes, 1, kNumLayers);
  const ModelConfig config =
      attention_config(num_heads, num_kv_heads, head_dim, static_cast<int>(num_layers));
  const KvCache cache(config, context, kv_type);
  // Pages that were never written are all one page, which the first cache holds.
  cache.for_each_run(context, [](std::span<std::byte> run) { std::memset(run.data(), 0x3c, run.size()); });
  const Segment segment{&cache, 0, context - num_tokens, num_tokens};
  const Plan plan({&segment, 1});
  const int num_threads = bench.pool().num_threads();
  const Scratch scratches[2] = {{config, context, num_threads}, {config, context, num_threads}};
  for (const Scratch& scratch : scratches) {
    for (int token = 0; token < num_tokens; ++token) {
      rope_angles(config, context - num_tokens + token, false, scratch.cosines.row(token),
                  scratch.sines.row(token));
    }
  }
  return bench.median_call_between(bench.footprint() / num_layers, [&](int thread, int call) {
    const Scratch& scratch = scratches[call % 2];
    const AttentionJob job{config,      bench.kernels(), scratch, plan, call % config.num_layers,
                           num_threads, num_tokens > 1};
    rotate_and_store(job, thread);
    bench.pool().barrier();
    attend(job, thread);
    bench.pool().barrier();
    if (num_tokens == 1) {
      combine_shares(job, scratch.own_input[static_cast<size_t>(thread)].values(0));
    } else {
      read_back(bench, scratch.attention, num_tokens, thread);
    }
  });
}

double bench_norm(Bench& bench, int hidden_size, int num_tokens) {
  require_sizes({hidden_size, num_tokens});
  const Inputs inputs(bench, hidden_size, num_tokens);
  const Rows source(num_tokens, hidden_size);
  fill(source);
  const Rows normed(bench.pool().num_threads(), hidden_size);
  // None finds its weights in the first caches.
  const Rows weights(kNumLayers, hidden_size);
  fill(weights);
  return bench.median_call([&](int thread, int call) {
    float* passing = normed.row(thread);
    const Activations input = inputs.of(thread);
    const Range share = inputs.share(thread);
    for (int token = share.begin; token < share.end; ++token) {
      bench.kernels().norm({.weight = weights.row(call % static_cast<int>(kNumLayers)), .eps = 1e-5f},
                           source.row(token), hidden_size, passing);
      bench.kernels().quantize(passing, token, input);
    }
    if (num_tokens > 1) bench.pool().barrier();
  });
}

double bench_activation(Bench& bench, int intermediate_size, int num_tokens) {
  require_sizes({intermediate_size, num_tokens});
  const Inputs inputs(bench, intermediate_size, num_tokens);
  const Rows source(num_tokens, intermediate_size);
  const Rows gate(num_tokens, intermediate_size);
  const Rows up(num_tokens, intermediate_size);
  fill(source);
  fill(up);
  const int num_panels = gate.stride / kPanelRows;
  return bench.median_call([&](int thread, int) {
    const Range rows = bench.share(num_panels, thread);
    const int begin = rows.begin * kPanelRows;
    const int size = rows.end * kPanelRows - begin;
    for (int token = 0; token < num_tokens; ++token) {
      // Afresh each time: activating its own result again would shrink it to denormal numbers.
      std::memcpy(gate.row(token) + begin, source.row(token) + begin,
                  static_cast<size_t>(size) * sizeof(float));
      bench.kernels().activate(Activation::Silu, gate.row(token) + begin, up.row(token) + begin, size);
    }
    if (num_tokens > 1) bench.pool().barrier();
    const Activations input = inputs.of(thread);
    const Range tokens = inputs.share(thread);
    for (int token = tokens.begin; token < tokens.end; ++token) {
      bench.kernels().quantize(gate.row(token), token, input);
    }
    if (num_tokens > 1) bench.pool().barrier();
  });
}

double bench_pass(Bench& bench, int vocab_size, int hidden_size, int num_tokens) {
  require_sizes({vocab_size, hidden_size, num_tokens});
  require_measurable(hidden_size % kGroupSize == 0,
                     std::to_string(hidden_size) + " columns are not whole blocks");
  PackedMatrix embedding = packed_layout(TensorType::Q8_0, vocab_size, hidden_size);
  embedding.data = bench.arena(embedding.num_bytes());
  constexpr int kHeadDim = 64;
  const ModelConfig config = attention_config(1, 1, kHeadDim, 1);
  const Rows rows(num_tokens, hidden_size);
  const Rows cosines(num_tokens, kHeadDim / 2);
  const Rows sines(num_tokens, kHeadDim / 2);
  // The calls are timed on a team of one, so that each wakes the measured team anew.
  ThreadPool single(1);
  return bench.median_call(single, [&](int, int call) {
    bench.pool().run([&](int thread) {
      const Range share = bench.share(num_tokens, thread);
      for (int token = share.begin; token < share.end; ++token) {
        const auto row = (static_cast<size_t>(call) + static_cast<size_t>(token)) * 7919;
        unpack_row(embedding, static_cast<int>(row % static_cast<size_t>(vocab_size)), rows.row(token));
        rope_angles(config, token, false, cosines.row(token), sines.row(token));
      }
      bench.pool().barrier();
    });
  });
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
