#include "graph/scoring.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "graph/pass.h"

namespace phonelm {

namespace {

// Rows whose logits are made at once: enough to reuse the head's weights from the L1 cache.
constexpr int kRows = 32;

int num_evaluated(const ScoreRequest& request) { return static_cast<int>(request.tokens.size()) - 1; }

int num_slots(const ScoreRequest& request) {
  return static_cast<int>(round_up(static_cast<size_t>(num_evaluated(request)), KvCache::kBlock));
}

void check(const Model& model, const ScoreRequest& request) {
  const int num_tokens = static_cast<int>(request.tokens.size());
  if (request.num_scored < 1 || request.num_scored >= num_tokens) {
    throw Error("cannot score " + std::to_string(request.num_scored) + " of " + std::to_string(num_tokens) +
                " tokens; score at least one, with one before it");
  }
  if (num_evaluated(request) > model.config().context_length) {
    throw Error(std::to_string(num_tokens) + " tokens do not fit into a context of " +
                std::to_string(model.config().context_length) + "; shorten the text");
  }
  check_tokens(model.config(), request.tokens);
}

// Slots for a few chunks of short sequences, or for the longest one.
int cache_slots(const Model& model, std::span<const ScoreRequest> requests) {
  int64_t total = 0;
  int longest = KvCache::kBlock;
  for (const ScoreRequest& request : requests) {
    total += num_slots(request);
    longest = std::max(longest, num_slots(request));
  }
  return static_cast<int>(
      std::min<int64_t>(std::max<int64_t>(total, longest), longest + 2 * model.scratch().chunk));
}

// A thread's part of a row's softmax.
struct SoftmaxPart {
  float maximum;
  float sum;
};

class Scorer {
 public:
  Scorer(const Model& model, std::span<const ScoreRequest> requests, const Adapters* adapters, KvType kv_type)
      : model_(model),
        adapters_(adapters),
        requests_(requests),
        num_slots_(cache_slots(model, requests)),
        cache_(model.config(), num_slots_, kv_type),
        logits_(kRows, model.config().vocab_size),
        scores_(requests.size(), Score{0.0, true}) {}

  std::vector<Score> run() {
    for (size_t index = 0; index < requests_.size(); ++index) add(index);
    flush();
    return std::move(scores_);
  }

 private:
  // A row whose next token is scored.
  struct Wanted {
    size_t request;
    int32_t next;
  };

  void add(size_t index) {
    const ScoreRequest& request = requests_[index];
    if (next_slot_ + num_slots(request) > num_slots_) {
      flush();
      next_slot_ = 0;
    }
    const int chunk = model_.scratch().chunk;
    const bool is_long = model_.config().is_long(num_evaluated(request));
    for (int position = 0; position < num_evaluated(request);) {
      const int room = chunk - static_cast<int>(tokens_.size());
      const int count = std::min(room, num_evaluated(request) - position);
      segments_.push_back({&cache_, next_slot_, position, count, is_long});
      for (int i = 0; i < count; ++i, ++position) add_token(index, position);
      if (count == room) flush();
    }
    next_slot_ += num_slots(request);
  }

  void add_token(size_t index, int position) {
    const ScoreRequest& request = requests_[index];
    const int32_t next = request.tokens[static_cast<size_t>(position) + 1];
    if (position >= num_evaluated(request) - request.num_scored) {
      rows_.push_back(static_cast<int32_t>(tokens_.size()));
      wanted_.push_back({index, next});
    }
    tokens_.push_back(request.tokens[static_cast<size_t>(position)]);
  }

  void flush() {
    if (tokens_.empty()) return;
    const Plan plan(segments_);
    const int num_threads = model_.threads_for(static_cast<int>(tokens_.size()));
    const Pass pass(model_.graph(), tokens_, plan, {num_threads, nullptr, adapters_});
    parts_.resize(static_cast<size_t>(num_threads * kRows));
    model_.threads().run(num_threads, [&](int thread) {
      pass.run_layers(thread);
      for (size_t begin = 0; begin < rows_.size(); begin += kRows) {
        const size_t count = std::min<size_t>(rows_.size() - begin, kRows);
        run_rows(pass, begin, count, num_threads, thread);
      }
    });
    for (auto* list : {&tokens_, &rows_}) list->clear();
    segments_.clear();
    wanted_.clear();
  }

  void run_rows(const Pass& pass, size_t begin, size_t count, int num_threads, int thread) {
    pass.run_head(std::span(rows_).subspan(begin, count), true, logits_.row(0), logits_.stride, thread);
    const Range share = pass.head_share(thread);
    const int first = share.begin * kPanelRows;
    const int size = std::min(share.end * kPanelRows, model_.config().vocab_size) - first;
    for (size_t i = 0; i < count; ++i) {
      const int32_t next = wanted_[begin + i].next;
      float* logits = logits_.row(static_cast<int>(i)) + first;
      const float chosen = next >= first && next < first + size ? logits[next - first] : 0.0f;
      SoftmaxPart& part = parts_[static_cast<size_t>(thread) * kRows + i];
      part = {-std::numeric_limits<float>::infinity(), 0.0f};
      if (size > 0) {
        part.maximum = model_.kernels().maximum(logits, size);
        part.sum = model_.kernels().exponentiate(logits, size, part.maximum);
      }
      if (next >= first && next < first + size) chosen_[i] = chosen;
    }
    model_.threads().barrier();
    if (thread == 0) {
      for (size_t i = 0; i < count; ++i) finish(wanted_[begin + i].request, i, num_threads);
    }
    model_.threads().barrier();
  }

  void finish(size_t request, size_t row, int num_threads) {
    const auto part = [&](int thread) { return parts_[static_cast<size_t>(thread) * kRows + row]; };
    float maximum = -std::numeric_limits<float>::infinity();
    for (int thread = 0; thread < num_threads; ++thread) maximum = std::max(maximum, part(thread).maximum);
    double sum = 0.0;
    for (int thread = 0; thread < num_threads; ++thread) {
      sum += part(thread).sum * std::exp(static_cast<double>(part(thread).maximum) - maximum);
    }
    scores_[request].log_probability += static_cast<double>(chosen_[row]) - maximum - std::log(sum);
    scores_[request].greedy = scores_[request].greedy && chosen_[row] >= maximum;
  }

  const Model& model_;
  const Adapters* adapters_;
  std::span<const ScoreRequest> requests_;
  const int num_slots_;
  KvCache cache_;
  Rows logits_;
  std::vector<Score> scores_;
  // The chunk being filled.
  int next_slot_ = 0;
  std::vector<int32_t> tokens_;
  std::vector<Segment> segments_;
  std::vector<int32_t> rows_;
  std::vector<Wanted> wanted_;
  // Of the rows at hand: the threads' parts, and the logit of the token that is scored.
  std::vector<SoftmaxPart> parts_;
  float chosen_[kRows] = {};
};

}  // namespace

std::vector<Score> score(const Model& model, std::span<const ScoreRequest> requests, const Adapters* adapters,
                         KvType kv_type) {
  check_adapters(model, adapters);
  for (const ScoreRequest& request : requests) check(model, request);
  if (requests.empty()) return {};
  return Scorer(model, requests, adapters, kv_type).run();
}

}  // namespace phonelm
