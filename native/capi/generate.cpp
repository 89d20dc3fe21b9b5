#include <algorithm>
#include <chrono>

#include "capi/objects.h"
#include "capi/text_stream.h"

namespace phonelm::capi {

namespace {

using Clock = std::chrono::steady_clock;

// Tokens of the prompt between two calls of the callback, so that a cancel is heard within a long one.
constexpr size_t kPrefillPart = 512;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One run of generation.
class Run {
 public:
  Run(SessionObject& session, SamplerObject& sampler, int max_tokens, phonelm_callback callback, void* user)
      : session_(*session.session),
        tokenizer_(session_.model().tokenizer()),
        sampler_(sampler),
        max_tokens_(max_tokens),
        callback_(callback),
        user_(user) {}

  phonelm_generation run(std::span<const int32_t> prompt) {
    check(prompt);
    const auto start = Clock::now();
    if (!evaluate(prompt)) return finished(PHONELM_FINISH_CANCELLED);
    const int32_t first = sampler_.sample(session_);
    result_.prefill_s = seconds_since(start);
    return finished(decode(first));
  }

 private:
  // Before anything is evaluated part by part.
  void check(std::span<const int32_t> prompt) const {
    const auto room = static_cast<size_t>(session_.room());
    if (prompt.size() > room) {
      throw Error("the prompt has " + std::to_string(prompt.size()) + " tokens and the context of " +
                  std::to_string(session_.context_length()) + " has room for " + std::to_string(room) +
                  "; shorten it or take a longer context");
    }
    if (prompt.empty() && session_.logits().empty())
      throw Error("the prompt is empty; give at least one token");
    check_tokens(session_.model().config(), prompt);
  }

  bool evaluate(std::span<const int32_t> prompt) {
    for (size_t begin = 0; begin < prompt.size(); begin += kPrefillPart) {
      const size_t size = std::min(prompt.size() - begin, kPrefillPart);
      session_.prefill(prompt.subspan(begin, size));
      num_evaluated_ = static_cast<int32_t>(begin + size);
      if (!tell(PHONELM_NO_TOKEN, "")) return false;
    }
    return true;
  }

  phonelm_finish decode(int32_t token) {
    for (const auto& stops = tokenizer_.stop_ids();;) {
      if (std::find(stops.begin(), stops.end(), token) != stops.end()) return PHONELM_FINISH_STOP;
      ++result_.num_tokens;
      if (!tell(token, stream_.feed(tokenizer_.token_bytes(token, false)))) return PHONELM_FINISH_CANCELLED;
      if (result_.num_tokens == max_tokens_) return PHONELM_FINISH_LENGTH;
      if (session_.room() == 0) return PHONELM_FINISH_CONTEXT;
      const auto start = Clock::now();
      session_.prefill({&token, 1});
      token = sampler_.sample(session_);
      result_.decode_s += seconds_since(start);
    }
  }

  phonelm_generation finished(phonelm_finish how) {
    const std::string rest = stream_.finish();
    if (!rest.empty()) tell(PHONELM_NO_TOKEN, rest);
    result_.finish = how;
    return result_;
  }

  bool tell(int32_t token, const std::string& text) const {
    if (!callback_) return true;
    const phonelm_progress progress{sizeof(phonelm_progress), text.c_str(), text.size(), token,
                                    num_evaluated_};
    return callback_(&progress, user_) == 0;
  }

  Session& session_;
  const Tokenizer& tokenizer_;
  SamplerObject& sampler_;
  const int max_tokens_;
  const phonelm_callback callback_;
  void* const user_;
  TextStream stream_;
  int32_t num_evaluated_ = 0;
  phonelm_generation result_{};
};

}  // namespace

}  // namespace phonelm::capi

using namespace phonelm;
using namespace phonelm::capi;

phonelm_status phonelm_generate(phonelm_session* session, phonelm_sampler* sampler, const int32_t* prompt,
                                size_t num_tokens, const phonelm_generate_options* options,
                                phonelm_callback callback, void* user, phonelm_generation* result,
                                phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(session);
    const auto chooser = find(sampler);
    require_array(prompt, num_tokens, "prompt");
    if (result) check_info(result, "result");
    const int max_tokens = read_options(options, "options").max_tokens;
    if (max_tokens < 0) throw Error("max_tokens is " + std::to_string(max_tokens) + "; take 0 or more");
    const std::lock_guard<std::recursive_mutex> lock(object->mutex);
    const phonelm_generation done =
        Run(*object, *chooser, max_tokens, callback, user).run({prompt, num_tokens});
    if (result) write_info(done, result, "result");
  });
}
