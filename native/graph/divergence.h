// How far two models' next-token distributions lie apart, from rows of their logits.
#pragma once

#include <span>
#include <vector>

#include "graph/model.h"

namespace phonelm {

struct RowDifference {
  double divergence;  // KL(reference || other) in nats, 0 or more
  bool same_top;      // what the reference finds likeliest, the other does too; any of equal ones
  // What the text's own token costs each, in nats.
  double reference_nats;
  double nats;
};

// Logits, row i at `data` + i * `stride`.
struct LogitRows {
  const float* data;
  size_t stride;
  const float* row(size_t index) const { return data + index * stride; }
};

// One difference for each of `targets`, the text's own tokens, on the threads of `model`, whose vocabulary
// has as many tokens as a row has logits. Exponentials are float32 and sums float64: a divergence is right to
// about 1e-6. Throws Error for an unknown token and for logits that are not finite.
std::vector<RowDifference> compare_rows(const Model& model, LogitRows reference, LogitRows other,
                                        std::span<const int32_t> targets);

}  // namespace phonelm
