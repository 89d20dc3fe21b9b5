// The inputs of a pass's matrix products and the products themselves, each thread's share of them. Every
// thread calls these, in the same order.
#pragma once

#include <array>
#include <cstring>
#include <span>

#include "graph/adapter.h"
#include "graph/graph.h"
#include "graph/observed_rows.h"
#include "graph/part_clock.h"
#include "graph/plan.h"

namespace phonelm {

// Active FFN neurons of the tokens decoded one at a time, by layer; one row per thread.
class LiveCounts {
 public:
  LiveCounts(int num_threads, int num_layers)
      : counts_(static_cast<size_t>(num_threads), std::vector<uint64_t>(static_cast<size_t>(num_layers))) {}
  void add(int thread, int layer, int num_live) {
    counts_[static_cast<size_t>(thread)][static_cast<size_t>(layer)] += static_cast<uint64_t>(num_live);
  }
  uint64_t of_layer(int layer) const {
    uint64_t sum = 0;
    for (const auto& thread : counts_) sum += thread[static_cast<size_t>(layer)];
    return sum;
  }

 private:
  std::vector<std::vector<uint64_t>> counts_;
};

// What a pass is asked for. At most `graph.scratch.chunk` tokens, in the order of the plan's places.
struct PassOptions {
  int num_threads;
  LiveCounts* live = nullptr;
  const Adapters* adapters = nullptr;  // the model's
  // Every token as if it came alone; with the threads that it would have alone, to the bit.
  bool batch_invariant = false;
  PartClock* clock = nullptr;              // counts the time of each part; its first lap is the caller's
  const ObservedRows* observed = nullptr;  // gets the products' inputs
};

class Products {
 public:
  // How the input of a product is wanted: as int8 groups, as floats, or both where its readers differ.
  struct Form {
    bool quants;
    bool floats;
    bool batch_invariant = false;  // a residual term in all groups, also in a batch
    // Read it too, as floats: their A x is made with the input.
    std::array<const LowRank*, 3> adapters{};
    const Rows* copy = nullptr;  // gets the floats, where somebody observes
    bool is_adapted() const { return adapters[0] != nullptr; }
  };

  Products(const Graph& of, std::span<const int32_t> ids, const Plan& places, const PassOptions& options)
      : graph(of),
        scratch(of.scratch),
        tokens(ids),
        plan(places),
        num_threads(options.num_threads),
        batch_invariant(options.batch_invariant || ids.size() == 1),
        options_(options) {}

  const Graph graph;
  const Scratch& scratch;
  const std::span<const int32_t> tokens;
  const Plan& plan;
  const int num_threads;
  const bool batch_invariant;

  int num_tokens() const { return static_cast<int>(tokens.size()); }
  const Kernels& kernels() const { return graph.kernels; }
  void barrier() const { graph.threads.barrier(); }
  // What the first thread did since the last call was this part's.
  void lap(Part part, int thread) const {
    if (options_.clock && thread == 0) options_.clock->lap(part);
  }
  void count_live(int layer, int num_live, int thread) const {
    if (options_.live) options_.live->add(thread, layer, num_live);
  }
  const LayerAdapters& adapters_of(int layer) const;
  const LowRank& head_adapter() const;

  // What the readers of an input want; a matrix that is not there has no rows.
  static Form form_for(std::initializer_list<const PackedMatrix*> readers);
  // Adds the adapters that read an input to what is wanted of it.
  static Form adapted(Form form, std::initializer_list<const LowRank*> adapters);

  // Has the rows copied for an observer, where there is one.
  Form observed(Form form, int layer, ProductInput input) const {
    if (options_.observed) form.copy = options_.observed->of(layer, input);
    return form;
  }
  const ObservedRows* observed_rows() const { return options_.observed; }

  // The input of a product: `make(i, out)` makes row i.
  template <typename Make>
  Activations prepare(int num_rows, int cols, const Form& form, int thread, Make make) const;
  // The same from rows that are there.
  Activations prepare_rows(const Rows& rows, int cols, const Form& form, int thread) const;
  // Rows of the residual, normalized; `row_of(i)` is the i-th.
  template <typename RowOf>
  Activations prepare_normed(int num_rows, RowOf row_of, const Norm& norm, const Form& form,
                             int thread) const;
  // The same of all tokens.
  Activations prepare_normed(const Norm& norm, const Form& form, int thread) const {
    return prepare_normed(num_tokens(), [](int row) { return row; }, norm, form, thread);
  }
  // Of one row that is there, and whose quants every thread makes for itself.
  Activations prepare_alone(const float* row, int cols, const Form& form, int thread) const;

  // Some panels' rows of a product with its adapter's and the bias, where there are any, each token's at a
  // `stride`.
  void multiply_share(const Linear& weights, const LowRank& adapter, Range share, const Activations& input,
                      float* out, int stride, bool accumulate, int thread) const;
  // This thread's rows of a product, with its adapter's.
  Range multiply(const Linear& weights, const LowRank& adapter, const Activations& input, const Rows& out,
                 bool accumulate, int thread) const;
  // Adds a product to the residual, normalized first where there is a norm.
  void multiply_into_residual(const Linear& weights, const LowRank& adapter, const Activations& input,
                              const Norm& norm, int thread) const;
  // A batch against a matrix stored neuron by neuron.
  template <typename Matrix>
  Range multiply_by_panels(const Matrix& weights, const LowRank& adapter, const Activations& input,
                           const Rows& out, bool accumulate, int thread) const;

  // Adds this thread's panels of B (A x) to the first rows of `out`.
  void lift(const LowRank& adapter, int num_rows, float* out, int stride, Range panels, int thread) const;

 private:
  const InputBuffer& input_buffer(int num_rows, int thread) const {
    // One row: every thread makes its own copy, which costs less than a barrier.
    return num_rows == 1 ? scratch.own_input[static_cast<size_t>(thread)] : scratch.shared_input;
  }
  Range rows_to_make(int num_rows, int thread) const {
    return num_rows == 1 ? Range{0, 1} : share_of(num_rows, thread, num_threads, kTokenBlock);
  }
  // Of one row every thread has its own copy; the first one's is kept.
  static void copy_row(const Form& form, int row, const float* values, int cols, int num_rows, int thread) {
    if (!form.copy || (num_rows == 1 && thread > 0)) return;
    std::memcpy(form.copy->row(row), values, static_cast<size_t>(cols) * sizeof(float));
  }
  // A x of the adapters that read `input`, for the rows that this thread has made of it.
  void lower(const Form& form, const Activations& input, Range rows, int thread) const;
  void add_branch(const Norm& norm, int thread) const;

  const PassOptions options_;
};

template <typename Make>
Activations Products::prepare(int num_rows, int cols, const Form& form, int thread, Make make) const {
  const InputBuffer& target = input_buffer(num_rows, thread);
  Activations input = target.view(num_rows, cols);
  if (form.batch_invariant || batch_invariant) input.residual_limit = 0.0f;
  input.batch_invariant = batch_invariant;
  const Range share = rows_to_make(num_rows, thread);
  // Rows that are only read as quants are made in one place, which stays in the L1 cache.
  float* passing = scratch.own_input[static_cast<size_t>(thread)].values(0);
  for (int row = share.begin; row < share.end; ++row) {
    float* values = form.floats ? target.values(row) : passing;
    make(row, values);
    copy_row(form, row, values, cols, num_rows, thread);
    if (form.quants) kernels().quantize(values, row, input);
  }
  lower(form, input, share, thread);
  if (num_rows > 1) barrier();
  return input;
}

template <typename RowOf>
Activations Products::prepare_normed(int num_rows, RowOf row_of, const Norm& norm, const Form& form,
                                     int thread) const {
  const int hidden = graph.config.hidden_size;
  const Activations input = prepare(num_rows, hidden, form, thread, [&](int i, float* out) {
    kernels().norm(norm, scratch.residual.row(row_of(i)), hidden, out);
  });
  lap(Part::Norms, thread);
  return input;
}

template <typename Matrix>
Range Products::multiply_by_panels(const Matrix& weights, const LowRank& adapter, const Activations& input,
                                   const Rows& out, bool accumulate, int thread) const {
  PackedMatrix panel = panel_layout(weights);
  const Range share = share_of(panel.num_panels, thread, num_threads);
  std::byte* memory = scratch.panel(thread);
  panel.data = memory;
  panel.num_panels = 1;
  for (int index = share.begin; index < share.end; ++index) {
    to_panel(weights, index, memory);
    kernels().matmul(panel, 0, 1, input, out.row(0) + index * kPanelRows, out.stride, accumulate);
    lift(adapter, num_tokens(), out.row(0), out.stride, {index, index + 1}, thread);
  }
  return share;
}

}  // namespace phonelm
