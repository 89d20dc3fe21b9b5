// Several sessions of one model in one pass: the weights are read once for all of them.
#pragma once

#include <span>
#include <vector>

#include "graph/session.h"

namespace phonelm {

// Evaluates `tokens[i]` in session i, as its `prefill` would. Where every session gets one token, each is
// rounded as if it came alone, so that its logits differ by the order of float additions only. Throws Error,
// before anything has changed, for sessions of several models, one that is there twice, and what `prefill`
// refuses.
void evaluate_batch(std::span<Session* const> sessions, const std::vector<std::vector<int32_t>>& tokens);

}  // namespace phonelm
