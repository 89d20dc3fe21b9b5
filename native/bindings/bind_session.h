// A session as Python sees it.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <mutex>

#include "graph/session.h"

namespace phonelm {

// Two threads of Python may use one session by mistake: its calls are run one after the other, each without
// the interpreter's lock.
struct GuardedSession {
  explicit GuardedSession(std::unique_ptr<Session> own) : session(std::move(own)) {}

  template <typename Call>
  auto locked(Call&& call) {
    const nanobind::gil_scoped_release release;
    const std::lock_guard<std::mutex> lock(mutex);
    return call(*session);
  }

  std::unique_ptr<Session> session;
  std::mutex mutex;
};

}  // namespace phonelm

// Adds Session, the batch functions, and the model's methods that make sessions.
void bind_session(nanobind::module_& module, nanobind::class_<phonelm::Model>& model);
