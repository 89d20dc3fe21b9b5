// Speculative decoding (arXiv 2211.17192) with drafts looked up in the text so far, as summaries and edits
// repeat their prompt: the tokens that followed the last place that ended alike are evaluated in one pass
// with the known ones, and kept as far as the model draws the same. Every draw sees the logits and the mask
// it would see without a draft, in the same order, so that the tokens are the same, greedy or by a seed.
#pragma once

#include "graph/session.h"
#include "sampling/draft_policy.h"
#include "sampling/sampler.h"

namespace phonelm {

class Speculation {
 public:
  using Tokens = std::vector<int32_t>;
  // One for each draw of a pass: none at all, or one more than the draft has tokens.
  using Masks = std::span<const std::span<const uint32_t>>;

  explicit Speculation(std::span<const int32_t> prompt) : history_(prompt) {}

  // At most `most` tokens likely to follow; `known` ones are certain, come after all before and are not
  // evaluated yet.
  Tokens propose(std::span<const int32_t> known, int most);

  // Evaluates the known tokens that were given to `propose`, and its draft or the first tokens of it; returns
  // the draft's tokens that hold and the one drawn after them, which may be kNoToken. That one is not
  // evaluated.
  Tokens advance(Session& session, Sampler& sampler, std::span<const int32_t> known,
                 std::span<const int32_t> draft, Masks masks);

  int64_t num_drafted() const { return num_drafted_; }
  int64_t num_accepted() const { return num_accepted_; }

 private:
  Tokens draw(const Session& session, Sampler& sampler, int first_row, std::span<const int32_t> draft,
              Masks masks) const;
  void learn(const Tokens& run);

  History history_;
  DraftPolicy policy_;
  // Looked up last: a match, and what followed it.
  History::Match match_{0, 0};
  Tokens guess_;
  std::vector<float> logits_;
  int64_t num_drafted_ = 0;
  int64_t num_accepted_ = 0;
};

}  // namespace phonelm
