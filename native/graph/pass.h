// One forward pass of a chunk of tokens, as its threads run it together: `run_layers`, then `run_head` for
// the rows whose logits are wanted.
#pragma once

#include <array>
#include <span>

#include "graph/adapter.h"
#include "graph/attention.h"
#include "graph/part_clock.h"

namespace phonelm {

// Live FFN neurons of the tokens decoded one at a time, by layer; a row a thread.
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

class Pass {
 public:
  // At most `scratch().chunk` tokens, in the order of the plan's places. Inside `model.threads().run` with
  // `num_threads` threads only. `adapters` are the model's; none: nullptr.
  // `exact`: every token as if it came alone; with the threads that it would have alone, to the bit.
  // `clock`: counts the time of each part, if there is one; its first lap is the caller's.
  Pass(const Model& model, std::span<const int32_t> tokens, const Plan& plan, int num_threads,
       LiveCounts* live, const Adapters* adapters = nullptr, bool exact = false, PartClock* clock = nullptr)
      : model_(model),
        scratch_(model.scratch()),
        tokens_(tokens),
        plan_(plan),
        num_threads_(num_threads),
        live_(live),
        adapters_(adapters),
        exact_(exact || tokens.size() == 1),
        clock_(clock) {}

  // Every thread calls these, in the same order. After `run_layers` the residual holds every token's state.
  void run_layers(int thread) const;
  // Logits of the tokens `rows`, at most a chunk, row i at out + i * stride. This thread's share of the
  // vocabulary is written; the others' is after a barrier.
  // `exact` rounds the head's input as for a single token, whatever the number of rows and the pass.
  void run_head(std::span<const int32_t> rows, bool exact, float* out, int stride, int thread) const;
  // The part of the vocabulary that `run_head` gives to a thread.
  Range head_share(int thread) const;

  // How the input of a product is wanted: as int8 groups, as floats, or both where its readers differ.
  struct Form {
    bool quants;
    bool floats;
    bool exact = false;  // a second term in all groups, also in a batch
    // Read it too, as floats: their A x is made with the input.
    std::array<const LowRank*, 3> adapters{};
    bool is_adapted() const { return adapters[0] != nullptr; }
  };

 private:
  int num_tokens() const { return static_cast<int>(tokens_.size()); }
  // What the first thread did since the last call was this part's.
  void lap(Part part, int thread) const {
    if (clock_ && thread == 0) clock_->lap(part);
  }
  void embed(int thread) const;
  void run_attention(int layer, int thread) const;
  void run_ffn(int layer, int thread) const;
  // The FFN up to the activation: the activated rows lie in the scratch memory's `gate`, or `up` if there is
  // none.
  void activate_all(const Layer& layer, int index, int thread) const;
  void activate_live(const Layer& layer, int index, int token, int thread) const;
  void add_live(const Layer& layer, int index, int token, int thread) const;

  // The input of a product: `make(i, out)` makes row i.
  template <typename Make>
  Activations prepare(int num_rows, int cols, Form form, int thread, Make make) const;
  // The same from rows that are there.
  Activations prepare_rows(const Rows& rows, int cols, Form form, int thread) const;
  // Rows of the residual, normalized; `row_of(i)` is the i-th.
  template <typename RowOf>
  Activations prepare_normed(int num_rows, RowOf row_of, const float* norm, Form form, int thread) const;
  const InputBuffer& input_buffer(int num_rows, int thread) const;
  Range rows_to_make(int num_rows, int thread) const;

  // Some panels' rows of a product with its adapter's and the bias, where there are any, each token's at a
  // `stride`.
  void multiply_share(const Linear& weights, const LowRank& adapter, Range share, const Activations& input,
                      float* out, int stride, bool accumulate, int thread) const;
  // This thread's rows of a product, with its adapter's.
  Range multiply(const Linear& weights, const LowRank& adapter, const Activations& input, const Rows& out,
                 bool accumulate, int thread) const;
  // Adds a product to the residual, normalized first where there is a norm.
  void multiply_into_residual(const Linear& weights, const LowRank& adapter, const Activations& input,
                              const float* norm, int thread) const;
  // A batch against a matrix stored neuron by neuron.
  template <typename Matrix>
  Range multiply_by_panels(const Matrix& weights, const LowRank& adapter, const Activations& input,
                           const Rows& out, bool accumulate, int thread) const;

  // Adds the adapters that read an input to what is wanted of it.
  static Form adapted(Form form, std::initializer_list<const LowRank*> adapters);
  const LayerAdapters& adapters_of(int layer) const;
  const LowRank& head_adapter() const;
  // A x of the adapters that read `input`, for the rows that this thread has made of it.
  void lower(const Form& form, const Activations& input, Range rows, int thread) const;
  // Adds this thread's panels of B (A x) to the first rows of `out`.
  void lift(const LowRank& adapter, int num_rows, float* out, int stride, Range panels, int thread) const;
  void lift(const LowRank& adapter, const Rows& out, Range panels, int thread) const {
    lift(adapter, num_tokens(), out.row(0), out.stride, panels, thread);
  }

  const Model& model_;
  const Scratch& scratch_;
  std::span<const int32_t> tokens_;
  const Plan& plan_;
  const int num_threads_;
  LiveCounts* live_;
  const Adapters* adapters_;
  const bool exact_;
  PartClock* clock_;
};

}  // namespace phonelm
