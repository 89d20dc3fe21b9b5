// What the handles stand for.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "bench/protocol.h"
#include "capi/handles.h"
#include "graph/session.h"
#include "sampling/sampler.h"

namespace phonelm::capi {

struct ModelObject {
  std::shared_ptr<Model> model;
  int context_length;
  KvType kv_type;
};

class SamplerObject {
 public:
  explicit SamplerObject(const SamplerOptions& options) : sampler_(options) {}

  // Empty: all tokens are allowed.
  void set_mask(std::vector<uint32_t> words);
  void set_bias(LogitBias bias);
  void add_dry_breakers(const std::vector<std::vector<int32_t>>& breakers);
  // The token after a session's. Throws Error when there are no logits or no token is allowed.
  int32_t sample(const Session& session);

 private:
  std::mutex mutex_;
  Sampler sampler_;
  std::vector<uint32_t> mask_;
};

struct SessionObject {
  // Recursive, for the callback of a generation.
  std::recursive_mutex mutex;
  std::unique_ptr<Session> session;
};

struct BenchObject {
  std::mutex mutex;
  OperatorBench bench;
  std::string last_answer;
};

inline std::shared_ptr<ModelObject> find(phonelm_model* model) {
  return Handles<phonelm_model, ModelObject>::all().find(model, "model");
}
inline std::shared_ptr<SamplerObject> find(phonelm_sampler* sampler) {
  return Handles<phonelm_sampler, SamplerObject>::all().find(sampler, "sampler");
}
inline std::shared_ptr<SessionObject> find(phonelm_session* session) {
  return Handles<phonelm_session, SessionObject>::all().find(session, "session");
}
inline std::shared_ptr<BenchObject> find(phonelm_bench* bench) {
  return Handles<phonelm_bench, BenchObject>::all().find(bench, "bench");
}

}  // namespace phonelm::capi
