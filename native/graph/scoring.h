// How likely a model finds given tokens: what evaluations ask thousands of times. What sequences begin with
// alike is evaluated once (a question before its choices, examples before all questions); they pass through
// the weights together, a full chunk at a time, and logits are made for scored tokens only.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "graph/adapter.h"
#include "graph/kv_cache.h"

namespace phonelm {

struct ScoreRequest {
  std::span<const int32_t> tokens;
  int num_scored;  // the last ones; at least one token stands before them
};

struct Score {
  double log_probability;  // natural, the sum over the scored tokens
  bool greedy;             // each of them is a most likely one
};

// One score a request. Throws Error for a request without tokens to score or before them, a sequence longer
// than the model's context, an unknown token, or adapters of another model, before anything is evaluated.
std::vector<Score> score(const Model& model, std::span<const ScoreRequest> requests,
                         const Adapters* adapters = nullptr, KvType kv_type = KvType::F16);

}  // namespace phonelm
