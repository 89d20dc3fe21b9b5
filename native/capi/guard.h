// No exception leaves the library: what is thrown inside becomes a status and a line of text.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"
#include "phonelm.h"

namespace phonelm::capi {

// A failure whose status the C interface itself knows.
class Failure : public Error {
 public:
  Failure(phonelm_status status, const std::string& message) : Error(message), status_(status) {}
  phonelm_status status() const { return status_; }

 private:
  phonelm_status status_;
};

// Inside a catch block: the status of what was thrown, its text in `error`.
phonelm_status report_exception(phonelm_error* error) noexcept;

template <typename Call>
phonelm_status guarded(phonelm_error* error, Call&& call) noexcept {
  try {
    call();
    return PHONELM_OK;
  } catch (...) {
    return report_exception(error);
  }
}

// Throws Failure (BAD_ARGUMENT) when a pointer that must not be is NULL. `name` is the parameter's.
inline void require(const void* pointer, const char* name) {
  if (!pointer) throw Failure(PHONELM_BAD_ARGUMENT, std::string(name) + " is NULL");
}
// The same for an array, which may be NULL when it is empty.
inline void require_array(const void* pointer, size_t size, const char* name) {
  if (size > 0) require(pointer, name);
}

// Larger than any options or info will be: a size above was never set.
inline constexpr size_t kMaxStructBytes = 4096;

// The caller's options in a struct of this library's size. Throws Failure (BAD_ARGUMENT) for a size that no
// version had and for fields that are not known here.
template <typename Options>
Options read_options(const Options* given, const char* name) {
  Options options{};
  if (!given) return options;
  const auto fail = [&](const char* problem) {
    throw Failure(PHONELM_BAD_ARGUMENT, std::string(name) + problem);
  };
  if (given->size < sizeof(size_t) || given->size > kMaxStructBytes)
    fail(".size is not set to the size of the struct");
  const auto* bytes = reinterpret_cast<const char*>(given);
  for (size_t i = sizeof(Options); i < given->size; ++i) {
    if (bytes[i] != 0) fail(" has a field set that this version of the library does not know");
  }
  std::memcpy(&options, bytes, std::min(given->size, sizeof(Options)));
  return options;
}

// Throws Failure (BAD_ARGUMENT) for an info whose size is not set.
template <typename Info>
void check_info(const Info* target, const char* name) {
  require(target, name);
  if (target->size < sizeof(size_t) || target->size > kMaxStructBytes) {
    throw Failure(PHONELM_BAD_ARGUMENT, std::string(name) + ".size is not set to the size of the struct");
  }
}

// Writes as many fields as the caller's struct has; its size stays. Throws as `check_info`.
template <typename Info>
void write_info(const Info& info, Info* target, const char* name) {
  check_info(target, name);
  constexpr size_t kBegin = sizeof(target->size);
  std::memcpy(reinterpret_cast<char*>(target) + kBegin, reinterpret_cast<const char*>(&info) + kBegin,
              std::min(target->size, sizeof(Info)) - kBegin);
}

// An array into the caller's memory, or the size it needs and Failure (TOO_SMALL).
template <typename Source, typename Value>
void write_array(const Source& source, Value* target, size_t capacity, size_t* size, const char* name) {
  require(size, "the address of the size");
  require_array(target, capacity, name);
  *size = source.size();
  if (source.size() > capacity) {
    throw Failure(PHONELM_TOO_SMALL, std::string(name) + " has room for " + std::to_string(capacity) +
                                         ", not for " + std::to_string(source.size()));
  }
  std::copy(source.begin(), source.end(), target);
}

}  // namespace phonelm::capi
