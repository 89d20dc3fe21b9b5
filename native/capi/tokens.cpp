#include <algorithm>

#include "capi/objects.h"

namespace phonelm::capi {

namespace {

void check_flags(uint32_t flags, uint32_t known) {
  if (flags & ~known) throw Failure(PHONELM_BAD_ARGUMENT, "flags has a bit set that is not known");
}

std::vector<int32_t> tokenize(const Tokenizer& tokenizer, std::string_view text, uint32_t flags) {
  std::vector<int32_t> tokens = tokenizer.encode(text, flags & PHONELM_PARSE_SPECIAL);
  const int32_t bos = tokenizer.bos_id();
  const bool begins = !tokens.empty() && tokens.front() == bos;
  if ((flags & PHONELM_PROMPT) && tokenizer.add_bos() && bos >= 0 && !begins)
    tokens.insert(tokens.begin(), bos);
  return tokens;
}

}  // namespace

}  // namespace phonelm::capi

using namespace phonelm;
using namespace phonelm::capi;

phonelm_status phonelm_tokenize(phonelm_model* model, const char* text, size_t num_bytes, uint32_t flags,
                                int32_t* tokens, size_t capacity, size_t* num_tokens, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require_array(text, num_bytes, "text");
    check_flags(flags, PHONELM_PARSE_SPECIAL | PHONELM_PROMPT);
    const std::string_view view(text ? text : "", num_bytes);
    write_array(tokenize(object->model->tokenizer(), view, flags), tokens, capacity, num_tokens, "tokens");
  });
}

phonelm_status phonelm_detokenize(phonelm_model* model, const int32_t* tokens, size_t num_tokens,
                                  uint32_t flags, char* bytes, size_t capacity, size_t* num_bytes,
                                  phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require_array(tokens, num_tokens, "tokens");
    check_flags(flags, PHONELM_WITH_SPECIAL);
    const std::string text = object->model->tokenizer().decode({tokens, num_tokens}, flags != 0);
    write_array(text, bytes, capacity, num_bytes, "bytes");
  });
}

phonelm_status phonelm_token_bytes(phonelm_model* model, int32_t token, uint32_t flags, char* bytes,
                                   size_t capacity, size_t* num_bytes, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    check_flags(flags, PHONELM_WITH_SPECIAL);
    const std::string text = object->model->tokenizer().token_bytes(token, flags != 0);
    write_array(text, bytes, capacity, num_bytes, "bytes");
  });
}

phonelm_status phonelm_token_is_stop(phonelm_model* model, int32_t token, int32_t* is_stop,
                                     phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require(is_stop, "the address of the answer");
    check_tokens(object->model->config(), {&token, 1});
    const auto& stops = object->model->tokenizer().stop_ids();
    *is_stop = std::find(stops.begin(), stops.end(), token) != stops.end();
  });
}
