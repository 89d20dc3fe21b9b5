#include <algorithm>

#include "capi/objects.h"

namespace phonelm::capi {

namespace {

using Sessions = Handles<phonelm_session, SessionObject>;

// Runs a call on the session a handle stands for, while no other thread does.
template <typename Call>
phonelm_status with_session(phonelm_session* session, phonelm_error* error, Call&& call) noexcept {
  return guarded(error, [&] {
    const auto object = find(session);
    const std::lock_guard<std::recursive_mutex> lock(object->mutex);
    call(object->session);
  });
}

}  // namespace

}  // namespace phonelm::capi

using namespace phonelm;
using namespace phonelm::capi;

phonelm_status phonelm_session_new(phonelm_model* model, const phonelm_session_options* options,
                                   phonelm_session** session, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require(session, "the address of the session");
    const int wanted = read_options(options, "options").context_length;
    *session = Sessions::all().add(
        std::make_shared<SessionObject>(object, wanted == 0 ? object->context_length : wanted));
  });
}

phonelm_status phonelm_session_free(phonelm_session* session) {
  return guarded(nullptr, [&] { Sessions::all().remove(session, "session"); });
}

phonelm_status phonelm_session_get_info(phonelm_session* session, phonelm_session_info* info,
                                        phonelm_error* error) {
  return with_session(session, error, [&](const Session& of) {
    write_info({0, of.kv_bytes(), of.position(), of.context_length()}, info, "info");
  });
}

phonelm_status phonelm_session_prefill(phonelm_session* session, const int32_t* tokens, size_t num_tokens,
                                       phonelm_error* error) {
  return with_session(session, error, [&](Session& of) {
    require_array(tokens, num_tokens, "tokens");
    of.prefill({tokens, num_tokens});
  });
}

phonelm_status phonelm_session_sample(phonelm_session* session, phonelm_sampler* sampler, int32_t* next,
                                      phonelm_error* error) {
  return with_session(session, error, [&](const Session& of) {
    const auto chooser = find(sampler);
    require(next, "the address of the token");
    *next = chooser->sample(of.logits());
  });
}

phonelm_status phonelm_session_step(phonelm_session* session, int32_t token, phonelm_sampler* sampler,
                                    int32_t* next, phonelm_error* error) {
  return with_session(session, error, [&](Session& of) {
    const auto chooser = find(sampler);
    require(next, "the address of the token");
    of.prefill({&token, 1});
    *next = chooser->sample(of.logits());
  });
}

phonelm_status phonelm_session_logits(phonelm_session* session, float* logits, size_t capacity,
                                      size_t* num_logits, phonelm_error* error) {
  return with_session(session, error, [&](const Session& of) {
    if (of.logits().empty()) throw Error("there are no logits yet; evaluate a token first");
    write_array(of.logits(), logits, capacity, num_logits, "logits");
  });
}

phonelm_status phonelm_session_truncate(phonelm_session* session, int32_t position, phonelm_error* error) {
  return with_session(session, error, [&](Session& of) { of.truncate(position); });
}

phonelm_status phonelm_session_live_fractions(phonelm_session* session, double* fractions, size_t capacity,
                                              size_t* num_layers, phonelm_error* error) {
  return with_session(session, error, [&](const Session& of) {
    write_array(of.live_fractions(), fractions, capacity, num_layers, "fractions");
  });
}
