// Handles are numbers that are never given twice, looked up at each call: a freed one, one of another kind or
// a stray pointer is found out without being followed, and what a call works on lives until the call ends.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "capi/guard.h"

namespace phonelm::capi {

// Over all kinds.
uintptr_t next_handle();

// `Name` is the C type, `Object` what it stands for.
template <typename Name, typename Object>
class Handles {
 public:
  // Never destroyed: threads may still run while a program ends.
  static Handles& all() {
    static auto* const handles = new Handles;
    return *handles;
  }

  Name* add(std::shared_ptr<Object> object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const uintptr_t handle = next_handle();
    objects_.emplace(handle, std::move(object));
    return reinterpret_cast<Name*>(handle);
  }

  // Throws Failure (BAD_ARGUMENT). `kind` is for its text.
  std::shared_ptr<Object> find(Name* name, const char* kind) {
    require(name, kind);
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uintptr_t>(name));
    if (found == objects_.end()) refuse(kind);
    return found->second;
  }

  void remove(Name* name, const char* kind) {
    if (!name) return;
    std::shared_ptr<Object> object;  // ends after the lock
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uintptr_t>(name));
    if (found == objects_.end()) refuse(kind);
    object = std::move(found->second);
    objects_.erase(found);
  }

 private:
  [[noreturn]] static void refuse(const char* kind) {
    throw Failure(PHONELM_BAD_ARGUMENT,
                  std::string(kind) + " is not a handle of a " + kind + ", or was freed");
  }

  std::mutex mutex_;
  std::unordered_map<uintptr_t, std::shared_ptr<Object>> objects_;
};

}  // namespace phonelm::capi
