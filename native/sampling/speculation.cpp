#include "sampling/speculation.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"

namespace phonelm {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Speculation::Tokens Speculation::propose(std::span<const int32_t> known, int most) {
  for (const int32_t token : known) history_.append(token);
  match_ = history_.longest_match();
  guess_ = match_.length > 0 ? history_.followers(match_, DraftPolicy::kPassSizes.back()) : Tokens{};
  const int length = policy_.draft_length(match_.length, static_cast<int>(known.size()), most);
  return {guess_.begin(), guess_.begin() + length};
}

Speculation::Tokens Speculation::advance(Session& session, Sampler& sampler, std::span<const int32_t> known,
                                         std::span<const int32_t> draft, Masks masks) {
  if (known.empty()) throw Error("there are no tokens to evaluate; give at least one");
  if (!masks.empty() && masks.size() != draft.size() + 1) throw Error("each draw of a pass needs a mask");
  Tokens tokens(known.begin(), known.end());
  tokens.insert(tokens.end(), draft.begin(), draft.end());
  logits_.resize(draft.empty() ? 0 : tokens.size() * static_cast<size_t>(session.logits_stride()));
  const int begin = session.position();

  const auto start = Clock::now();
  session.step(tokens, draft.empty() ? nullptr : logits_.data());
  policy_.observe_pass(static_cast<int>(tokens.size()), seconds_since(start));

  Tokens run = draw(session, sampler, static_cast<int>(known.size()) - 1, draft, masks);
  const auto num_held = run.size() - 1;
  session.truncate(begin + static_cast<int>(known.size() + num_held));
  learn(run);
  num_drafted_ += static_cast<int64_t>(draft.size());
  num_accepted_ += static_cast<int64_t>(num_held);
  return run;
}

Speculation::Tokens Speculation::draw(const Session& session, Sampler& sampler, int first_row,
                                      std::span<const int32_t> draft, Masks masks) const {
  const auto stride = static_cast<size_t>(session.logits_stride());
  const auto vocab = static_cast<size_t>(session.model().config().vocab_size);
  const std::span<const int32_t> tokens = session.tokens();
  Tokens run;
  for (size_t i = 0; i <= draft.size(); ++i) {
    const auto row = static_cast<size_t>(first_row) + i;
    const auto logits = draft.empty() ? session.logits() : std::span(logits_.data() + row * stride, vocab);
    const auto mask = masks.empty() ? std::span<const uint32_t>{} : masks[i];
    run.push_back(sampler.sample(logits, mask, tokens.first(tokens.size() - draft.size() + i)));
    if (i == draft.size() || run.back() != draft[i]) break;
  }
  return run;
}

// What was looked up is compared with what came, evaluated or not: a passage that begins to repeat is seen
// before it costs anything.
void Speculation::learn(const Tokens& run) {
  for (size_t i = 0; i < std::min(run.size(), guess_.size()); ++i) {
    const bool held = run[i] == guess_[i];
    policy_.observe(match_.length + static_cast<int>(i), held);
    if (!held) break;
  }
  for (size_t i = 0; i + 1 < run.size(); ++i) history_.append(run[i]);
}

}  // namespace phonelm
