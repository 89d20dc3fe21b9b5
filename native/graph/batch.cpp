#include "graph/batch.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>

#include "core/error.h"

namespace phonelm {

class BatchRun {
 public:
  BatchRun(std::span<Session* const> sessions, const std::vector<std::vector<int32_t>>& tokens)
      : sessions_(sessions), rest_(tokens.begin(), tokens.end()) {
    check();
    batch_invariant_ = std::ranges::all_of(rest_, [](auto rest) { return rest.size() == 1; });
  }

  void run() {
    while (collect()) evaluate();
  }

 private:
  // A session's run of tokens in the pass at hand.
  struct Run {
    Session* session;
    std::span<const int32_t> tokens;
    bool is_last;
  };

  void check() const {
    if (sessions_.size() != rest_.size()) {
      throw Error("there are " + std::to_string(sessions_.size()) + " sessions and tokens for " +
                  std::to_string(rest_.size()) + "; give each its own");
    }
    if (std::set(sessions_.begin(), sessions_.end()).size() != sessions_.size()) {
      throw Error("a session is in the batch twice; give each its own");
    }
    for (size_t i = 0; i < sessions_.size(); ++i) {
      if (&sessions_[i]->model() != &sessions_[0]->model()) {
        throw Error("the sessions of a batch belong to different models; run them apart");
      }
      if (sessions_[i]->adapters() != sessions_[0]->adapters()) {
        throw Error("the sessions of a batch have different adapters; run them apart");
      }
      sessions_[i]->check(rest_[i]);
    }
  }

  // Fills a chunk; false when nothing is left.
  bool collect() {
    runs_.clear();
    tokens_.clear();
    if (sessions_.empty()) return false;
    const auto chunk = static_cast<size_t>(sessions_[0]->model().scratch().chunk);
    for (size_t i = 0; i < sessions_.size() && tokens_.size() < chunk; ++i) {
      if (rest_[i].empty()) continue;
      sessions_[i]->make_room();
      const size_t room = std::min(chunk - tokens_.size(), static_cast<size_t>(sessions_[i]->free_slots()));
      const auto tokens = rest_[i].first(std::min(rest_[i].size(), room));
      rest_[i] = rest_[i].subspan(tokens.size());
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
      runs_.push_back({sessions_[i], tokens, rest_[i].empty()});
    }
    return !runs_.empty();
  }

  void evaluate() {
    std::vector<Segment> segments;
    std::vector<int32_t> rows;
    int num_tokens = 0;
    for (const Run& run : runs_) {
      const int count = static_cast<int>(run.tokens.size());
      segments.push_back(run.session->next_segment(count));
      num_tokens += count;
      if (run.is_last) rows.push_back(num_tokens - 1);
    }
    const Model& model = sessions_[0]->model();
    const auto stride = static_cast<size_t>(sessions_[0]->logits_stride());
    const auto logits = std::make_unique_for_overwrite<float[]>(rows.size() * stride);
    const Plan plan(segments);
    const int num_threads = batch_invariant_ ? model.decode_threads() : model.threads_for(num_tokens);
    const Pass pass(model.graph(), tokens_, plan,
                    {num_threads, nullptr, sessions_[0]->adapters().get(), batch_invariant_});
    model.threads().run(num_threads, [&](int thread) {
      pass.run_layers(thread);
      if (!rows.empty()) pass.run_head(rows, true, logits.get(), static_cast<int>(stride), thread);
    });
    hand_out(logits.get(), stride);
  }

  void hand_out(const float* logits, size_t stride) const {
    for (const Run& run : runs_) {
      run.session->append(run.tokens);
      if (!run.is_last) continue;
      std::memcpy(run.session->logits_.row(0), logits, stride * sizeof(float));
      run.session->note_logits();
      logits += stride;
    }
  }

  std::span<Session* const> sessions_;
  std::vector<std::span<const int32_t>> rest_;
  bool batch_invariant_ = false;
  std::vector<Run> runs_;
  std::vector<int32_t> tokens_;
};

void evaluate_batch(std::span<Session* const> sessions, const std::vector<std::vector<int32_t>>& tokens) {
  BatchRun(sessions, tokens).run();
}

}  // namespace phonelm
