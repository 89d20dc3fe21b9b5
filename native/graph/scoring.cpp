#include "graph/scoring.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "core/error.h"
#include "graph/pass.h"
#include "graph/prefix_tree.h"

namespace phonelm {

namespace {

// Rows whose logits are made at once: enough to reuse the head's weights from the L1 cache.
constexpr int kRows = 32;

int num_evaluated(const ScoreRequest& request) { return static_cast<int>(request.tokens.size()) - 1; }

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

std::vector<PrefixTree::Sequence> sequences_of(const Model& model, std::span<const ScoreRequest> requests) {
  std::vector<PrefixTree::Sequence> sequences;
  for (const ScoreRequest& request : requests) {
    const auto evaluated = static_cast<size_t>(num_evaluated(request));
    // Position embeddings of long sequences may differ from the first token on.
    sequences.push_back({request.tokens.first(evaluated), model.config().is_long(num_evaluated(request))});
  }
  return sequences;
}

// Blocks that a node writes. The first one may begin with its parent's last tokens, which are copied.
int num_blocks(const PrefixTree::Node& node) {
  return (node.end + KvCache::kBlock - 1) / KvCache::kBlock - node.begin / KvCache::kBlock;
}

// Blocks for some chunks of tokens, in bounded memory, or for the longest way from a root to a leaf.
int cache_blocks(const Model& model, const PrefixTree& tree, KvType kv_type) {
  constexpr size_t kMaxBytes = size_t{256} << 20;
  const size_t block_bytes = KvCache::bytes_for(model.config(), KvCache::kBlock, kv_type);
  const int few = 2 * model.scratch().chunk / KvCache::kBlock;
  int wanted = std::max(few, std::min(4 * few, static_cast<int>(kMaxBytes / block_bytes)));
  std::vector<int> way;
  int total = 0;
  for (const PrefixTree::Node& node : tree.nodes()) {
    way.push_back(num_blocks(node) + (node.parent < 0 ? 0 : way[static_cast<size_t>(node.parent)]));
    total += num_blocks(node);
    wanted = std::max(wanted, way.back());
  }
  return std::min(wanted, std::max(total, 1));
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
        sequences_(sequences_of(model, requests)),
        tree_(sequences_),
        states_(tree_.nodes().size()),
        num_blocks_(cache_blocks(model, tree_, kv_type)),
        cache_(model.config(), num_blocks_ * KvCache::kBlock, kv_type),
        logits_(kRows, model.config().vocab_size),
        scores_(requests.size(), Score{0.0, true}) {
    for (int block = num_blocks_; block > 0; --block) free_.push_back((block - 1) * KvCache::kBlock);
  }

  // Runs of nodes for which there is room, parents before children: those whose parents are done fill the
  // chunks together.
  std::vector<Score> run() {
    for (int first = 0; first < num_nodes();) {
      const int end = end_of_room(first);
      std::vector<int> wave(static_cast<size_t>(end - first));
      std::iota(wave.begin(), wave.end(), first);
      std::ranges::stable_sort(wave, {}, [&](int index) { return node(index).depth; });
      for (const int index : wave) add(index);
      flush();
      for (int index = 0; index < end; ++index) {
        if (node(index).end_of_subtree <= end) release(index);
      }
      first = end;
    }
    return std::move(scores_);
  }

 private:
  // What becomes of a node of the tree.
  struct State {
    std::vector<int32_t> blocks;  // of its whole way from the root
    int flush = -1;               // that evaluates its last token
  };
  // A next token that is scored.
  struct Wanted {
    size_t request;
    int32_t next;
    float logit;
  };
  // A row whose logits are wanted, and what of it.
  struct Row {
    size_t first_wanted;
    size_t end_wanted;
  };

  int num_nodes() const { return static_cast<int>(tree_.nodes().size()); }
  const PrefixTree::Node& node(int index) const { return tree_.nodes()[static_cast<size_t>(index)]; }
  State& state(int index) { return states_[static_cast<size_t>(index)]; }
  const ScoreRequest& request_at(int place) const { return requests_[index_at(place)]; }
  size_t index_at(int place) const { return static_cast<size_t>(tree_.order()[static_cast<size_t>(place)]); }

  int end_of_room(int first) const {
    int room = static_cast<int>(free_.size());
    int end = first;
    while (end < num_nodes() && num_blocks(node(end)) <= room) room -= num_blocks(node(end++));
    return end;
  }

  void release(int index) {
    std::vector<int32_t>& blocks = state(index).blocks;
    if (blocks.empty()) return;
    const auto own = blocks.begin() + node(index).begin / KvCache::kBlock;
    free_.insert(free_.end(), own, blocks.end());
    blocks.clear();
  }

  void place(int index) {
    const int begin = node(index).begin;
    std::vector<int32_t>& blocks = state(index).blocks;
    if (node(index).parent >= 0) {
      const State& parent = state(node(index).parent);
      if (parent.flush == num_flushes_) flush();
      blocks.assign(parent.blocks.begin(), parent.blocks.begin() + begin / KvCache::kBlock);
    }
    for (int i = num_blocks(node(index)); i > 0; --i) {
      blocks.push_back(free_.back());
      free_.pop_back();
    }
    if (begin % KvCache::kBlock == 0) return;
    const auto shared = static_cast<size_t>(begin / KvCache::kBlock);
    cache_.copy_block(state(node(index).parent).blocks[shared], blocks[shared]);
  }

  void add(int index) {
    place(index);
    const auto& [tokens, is_long] = sequences_[index_at(node(index).first)];
    const int first_scored = first_scored_position(node(index));
    const int chunk = model_.scratch().chunk;
    for (int position = node(index).begin; position < node(index).end;) {
      const int room = chunk - static_cast<int>(tokens_.size());
      const int count = std::min(room, node(index).end - position);
      segments_.push_back({&cache_, 0, position, count, is_long != 0, 0, state(index).blocks.data()});
      state(index).flush = num_flushes_;
      for (int i = 0; i < count; ++i, ++position) {
        if (position >= first_scored) want(node(index), position);
        tokens_.push_back(tokens[static_cast<size_t>(position)]);
      }
      if (count == room) flush();
    }
  }

  static int first_scored(const ScoreRequest& request) { return num_evaluated(request) - request.num_scored; }

  int first_scored_position(const PrefixTree::Node& node) const {
    int first = node.end;
    for (int place = node.first; place < node.last; ++place) {
      first = std::min(first, first_scored(request_at(place)));
    }
    return first;
  }

  // What the sequences of a node want of the token that is added next.
  void want(const PrefixTree::Node& node, int position) {
    const size_t before = wanted_.size();
    for (int place = node.first; place < node.last; ++place) {
      const ScoreRequest& request = request_at(place);
      if (position < first_scored(request) || position >= num_evaluated(request)) continue;
      wanted_.push_back({index_at(place), request.tokens[static_cast<size_t>(position) + 1], 0.0f});
    }
    if (wanted_.size() == before) return;
    rows_.push_back(static_cast<int32_t>(tokens_.size()));
    wanted_of_row_.push_back({before, wanted_.size()});
  }

  void flush() {
    ++num_flushes_;
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
    wanted_of_row_.clear();
  }

  std::span<Wanted> wanted_of(size_t row) {
    const Row& of = wanted_of_row_[row];
    return std::span(wanted_).subspan(of.first_wanted, of.end_wanted - of.first_wanted);
  }

  void run_rows(const Pass& pass, size_t begin, size_t count, int num_threads, int thread) {
    pass.run_head(std::span(rows_).subspan(begin, count), true, logits_.row(0), logits_.stride, thread);
    const Range share = pass.head_share(thread);
    const int first = share.begin * kPanelRows;
    const int size = std::min(share.end * kPanelRows, model_.config().vocab_size) - first;
    for (size_t i = 0; i < count; ++i) {
      float* logits = logits_.row(static_cast<int>(i)) + first;
      for (Wanted& wanted : wanted_of(begin + i)) {
        const int32_t place = wanted.next - first;
        if (place >= 0 && place < size) wanted.logit = logits[place];
      }
      SoftmaxPart& part = parts_[static_cast<size_t>(thread) * kRows + i];
      part = {-std::numeric_limits<float>::infinity(), 0.0f};
      if (size <= 0) continue;
      part.maximum = model_.kernels().maximum(logits, size);
      part.sum = model_.kernels().exponentiate(logits, size, part.maximum);
    }
    model_.threads().barrier();
    if (thread == 0) {
      for (size_t i = 0; i < count; ++i) finish(begin + i, i, num_threads);
    }
    model_.threads().barrier();
  }

  void finish(size_t row, size_t place, int num_threads) {
    const auto part = [&](int thread) { return parts_[static_cast<size_t>(thread) * kRows + place]; };
    float maximum = -std::numeric_limits<float>::infinity();
    for (int thread = 0; thread < num_threads; ++thread) maximum = std::max(maximum, part(thread).maximum);
    double sum = 0.0;
    for (int thread = 0; thread < num_threads; ++thread) {
      sum += part(thread).sum * std::exp(static_cast<double>(part(thread).maximum) - maximum);
    }
    for (const Wanted& wanted : wanted_of(row)) {
      Score& score = scores_[wanted.request];
      score.log_probability += static_cast<double>(wanted.logit) - maximum - std::log(sum);
      score.greedy = score.greedy && wanted.logit >= maximum;
    }
  }

  const Model& model_;
  const Adapters* adapters_;
  std::span<const ScoreRequest> requests_;
  const std::vector<PrefixTree::Sequence> sequences_;
  const PrefixTree tree_;
  std::vector<State> states_;
  const int num_blocks_;
  const KvCache cache_;
  std::vector<int32_t> free_;  // first slots of the blocks that hold nothing of use
  Rows logits_;
  std::vector<Score> scores_;
  // The chunk being filled.
  int num_flushes_ = 0;
  std::vector<int32_t> tokens_;
  std::vector<Segment> segments_;
  std::vector<int32_t> rows_;
  std::vector<Row> wanted_of_row_;
  std::vector<Wanted> wanted_;
  // Of the rows at hand, the threads' parts.
  std::vector<SoftmaxPart> parts_;
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
