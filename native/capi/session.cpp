#include <algorithm>

#include "capi/objects.h"
#include "graph/session_file.h"

namespace phonelm::capi {

namespace {

using Sessions = Handles<phonelm_session, SessionObject>;

SessionOptions session_options(const ModelObject& model, const phonelm_session_options& given) {
  SessionOptions options;
  options.context_length = given.context_length ? given.context_length : model.context_length;
  options.kv_type = given.kv_type ? parse_kv_type(given.kv_type) : model.kv_type;
  if (given.slides) options.num_sinks = given.num_sinks ? given.num_sinks : kDefaultSinks;
  if (!given.slides && given.num_sinks)
    throw Error("num_sinks is set but the context does not slide; set slides too");
  return options;
}

phonelm_session* add(std::unique_ptr<Session> session) {
  auto object = std::make_shared<SessionObject>();
  object->session = std::move(session);
  return Sessions::all().add(std::move(object));
}

phonelm_session_info info_of(const Session& session) {
  return {0,
          kv_type_name(session.options().kv_type),
          session.kv_bytes(),
          session.position(),
          session.num_dropped(),
          session.context_length()};
}

// Runs a call on the session a handle stands for, while no other thread does.
template <typename Call>
phonelm_status with_session(phonelm_session* session, phonelm_error* error, Call&& call) noexcept {
  return guarded(error, [&] {
    const auto object = find(session);
    const std::lock_guard<std::recursive_mutex> lock(object->mutex);
    call(*object->session);
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
    const SessionOptions wanted = session_options(*object, read_options(options, "options"));
    *session = add(std::make_unique<Session>(object->model, wanted));
  });
}

phonelm_status phonelm_session_save(phonelm_session* session, const char* path, phonelm_error* error) {
  return with_session(session, error, [&](const Session& of) {
    require(path, "path");
    save_session(of, path);
  });
}

phonelm_status phonelm_session_restore(phonelm_model* model, const char* path, int32_t context_length,
                                       phonelm_session** session, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require(path, "path");
    require(session, "the address of the session");
    *session = add(restore_session(object->model, path, context_length));
  });
}

phonelm_status phonelm_session_free(phonelm_session* session) {
  return guarded(nullptr, [&] { Sessions::all().remove(session, "session"); });
}

phonelm_status phonelm_session_get_info(phonelm_session* session, phonelm_session_info* info,
                                        phonelm_error* error) {
  return with_session(session, error, [&](const Session& of) { write_info(info_of(of), info, "info"); });
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
    *next = chooser->sample(of);
  });
}

phonelm_status phonelm_session_step(phonelm_session* session, int32_t token, phonelm_sampler* sampler,
                                    int32_t* next, phonelm_error* error) {
  return with_session(session, error, [&](Session& of) {
    const auto chooser = find(sampler);
    require(next, "the address of the token");
    of.prefill({&token, 1});
    *next = chooser->sample(of);
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
