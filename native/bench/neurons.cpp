// The FFN of a ReLU model stored neuron by neuron, as graph/pass.cpp runs it.
#include "kernels/neurons.h"

#include <random>

#include "bench/inputs.h"
#include "bench/operators.h"
#include "graph/scratch.h"

namespace phonelm {

namespace {

struct Sizes {
  TensorType type;
  bool gated;
  int hidden, intermediate;
};

// One layer's weights, wherever they begin.
struct Weights {
  explicit Weights(const Sizes& sizes)
      : first(packed_layout(sizes.type, sizes.intermediate, sizes.hidden)),
        up(neuron_rows_layout(sizes.type, sizes.gated ? sizes.intermediate : 0, sizes.hidden)),
        down(neuron_columns_layout(sizes.type, sizes.hidden, sizes.intermediate)) {}

  size_t num_bytes() const {
    return round_up(first.num_bytes(), kLineBytes) + round_up(up.num_bytes(), kLineBytes) +
           round_up(down.num_bytes(), kLineBytes);
  }
  void place(const std::byte* memory) {
    first.data = memory;
    up.data = first.data + round_up(first.num_bytes(), kLineBytes);
    down.data = up.data + round_up(up.num_bytes(), kLineBytes);
  }

  PackedMatrix first;  // gate, or up where there is none
  NeuronRows up;
  NeuronColumns down;
};

// Activations of which a share is live. They are squares of a bell's numbers, as products of two are: with
// outliers, which cost a batch second terms. Every call and token takes a stretch of its own for hundreds of
// calls: a processor that has seen which neurons are live foretells them, which no model lets it do.
class Activated {
 public:
  Activated(int size, int live_percent) : size_(size), values_(1, size + kNumValues) {
    std::minstd_rand random(1);
    std::normal_distribution<float> bell;
    float squares[1024];
    for (float& square : squares) {
      const float x = bell(random);
      square = x * x;
    }
    for (int i = 0; i < values_.stride; ++i) {
      const auto drawn = random();
      const bool live = static_cast<int>(drawn % 100) < live_percent;
      values_.row(0)[i] = live ? squares[drawn / 128 % 1024] : 0.0f;
    }
  }
  const float* of(int call) const { return values_.row(0) + static_cast<int64_t>(call) * size_ % kNumValues; }

 private:
  // Not a multiple of any width: the second time round the stretches begin elsewhere.
  static constexpr int kNumValues = 1'000'003;

  int size_;
  Rows values_;
};

class NeuronFfn {
 public:
  NeuronFfn(Bench& bench, const Sizes& sizes, int live_percent, int num_tokens)
      : bench_(bench),
        sizes_(sizes),
        num_tokens_(num_tokens),
        weights_(sizes),
        footprint_(std::max(bench.footprint(), weights_.num_bytes())),
        memory_(bench.arena(footprint_ + weights_.num_bytes())),
        activated_(sizes.intermediate, live_percent),
        input_memory_(num_tokens, sizes.hidden),
        input_(filled_input(bench.kernels(), input_memory_, num_tokens, sizes.hidden)),
        down_inputs_(bench, sizes.intermediate, num_tokens),
        values_(num_tokens, sizes.intermediate),
        ups_(num_tokens, sizes.intermediate),
        activated_rows_(num_tokens, sizes.intermediate),
        out_(num_tokens, sizes.hidden) {
    for (int token = 0; token < num_tokens; ++token) {
      std::copy_n(activated_.of(token), sizes.intermediate, activated_rows_.row(token));
    }
    const int widest = std::max(sizes.hidden, sizes.intermediate);
    const size_t panel_bytes = std::max(packed_layout(TensorType::Q8_0, kPanelRows, widest).panel_bytes,
                                        2 * runs_bytes(sizes.hidden));
    for (int thread = 0; thread < bench.pool().num_threads(); ++thread) {
      panels_.emplace_back(panel_bytes);
      neurons_.emplace_back(static_cast<size_t>(sizes.intermediate) * sizeof(int32_t));
    }
  }

  void run(int thread, int call) const {
    Weights weights = weights_;
    weights.place(memory_ + footprint_offset(call, weights.num_bytes(), footprint_));
    if (num_tokens_ == 1) {
      activate_live(weights, thread, call);
      bench_.pool().barrier();
      add_live(weights, thread);
    } else {
      activate_all(weights, thread);
      bench_.pool().barrier();
      add_all(weights, thread);
    }
    bench_.pool().barrier();
    read_back(bench_, out_, num_tokens_, thread);
  }

 private:
  void activate_live(const Weights& weights, int thread, int call) const {
    const Kernels& kernels = bench_.kernels();
    const Range share = bench_.share(weights.first.num_panels, thread);
    const int begin = share.begin * kPanelRows;
    const int end = std::min(share.end * kPanelRows, sizes_.intermediate);
    float* values = values_.row(0);
    kernels.matmul(weights.first, share.begin, share.end, input_, values, 0, false);
    kernels.activate(Activation::Relu, values + begin, nullptr, end - begin);
    std::copy(activated_.of(call) + begin, activated_.of(call) + end, values + begin);
    auto* neurons = neurons_[static_cast<size_t>(thread)].as<int32_t>();
    int num_live = 0;
    for (int i = begin; i < end; ++i) {
      neurons[num_live] = i;
      num_live += values[i] > 0.0f;
    }
    if (!sizes_.gated) return;
    float* up = ups_.row(0);
    auto* scratch = panels_[static_cast<size_t>(thread)].as<int8_t>();
    kernels.neuron_rows(weights.up, neurons, num_live, input_, scratch, up);
    for (int i = 0; i < num_live; ++i) values[neurons[i]] *= up[neurons[i]];
  }

  void add_live(const Weights& weights, int thread) const {
    Activations input = down_inputs_.of(thread);
    input.values = values_.row(0);
    bench_.kernels().quantize(input.values, 0, input);
    const Range rows = bench_.share(sizes_.hidden, thread, kColumnRows);
    bench_.kernels().neuron_columns(weights.down, rows.begin, rows.end, input, out_.row(0));
  }

  void activate_all(const Weights& weights, int thread) const {
    if (sizes_.gated) multiply_by_panels(weights.up, input_, ups_, thread);
    const Range share = bench_.share(weights.first.num_panels, thread);
    bench_.kernels().matmul(weights.first, share.begin, share.end, input_, values_.row(0), values_.stride,
                            false);
    const int begin = share.begin * kPanelRows;
    const int size = share.end * kPanelRows - begin;
    for (int token = 0; token < num_tokens_; ++token) {
      const float* up = sizes_.gated ? ups_.row(token) + begin : nullptr;
      bench_.kernels().activate(Activation::Relu, values_.row(token) + begin, up, size);
    }
  }

  void add_all(const Weights& weights, int thread) const {
    const Activations input = down_inputs_.of(thread);
    const Range tokens = down_inputs_.share(thread);
    for (int token = tokens.begin; token < tokens.end; ++token) {
      bench_.kernels().quantize(activated_rows_.row(token), token, input);
    }
    bench_.pool().barrier();
    multiply_by_panels(weights.down, input, out_, thread);
  }

  template <typename Matrix>
  void multiply_by_panels(const Matrix& weights, const Activations& input, const Rows& out,
                          int thread) const {
    PackedMatrix panel = panel_layout(weights);
    const Range share = bench_.share(panel.num_panels, thread);
    std::byte* memory = panels_[static_cast<size_t>(thread)].data();
    panel.data = memory;
    panel.num_panels = 1;
    for (int index = share.begin; index < share.end; ++index) {
      to_panel(weights, index, memory);
      bench_.kernels().matmul(panel, 0, 1, input, out.row(0) + index * kPanelRows, out.stride, false);
    }
  }

  Bench& bench_;
  const Sizes sizes_;
  const int num_tokens_;
  const Weights weights_;
  const size_t footprint_;
  const std::byte* memory_;
  const Activated activated_;
  const InputBuffer input_memory_;
  const Activations input_;
  const Inputs down_inputs_;
  const Rows values_, ups_;
  // What a batch's values are taken for: weights that are all alike do not make outliers.
  const Rows activated_rows_;
  const Rows out_;
  std::vector<Buffer> panels_, neurons_;
};

}  // namespace

double bench_neurons(Bench& bench, TensorType type, bool gated, int hidden_size, int intermediate_size,
                     int live_percent, int num_tokens) {
  require_sizes({hidden_size, intermediate_size, num_tokens});
  require_measurable(neuron_layout_fits(type, hidden_size, intermediate_size),
                     "an FFN of these sizes and type is not stored neuron by neuron");
  const NeuronFfn ffn(bench, {type, gated, hidden_size, intermediate_size}, live_percent, num_tokens);
  return bench.median_call([&](int thread, int call) { ffn.run(thread, call); });
}

}  // namespace phonelm
