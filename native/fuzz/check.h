// What must hold in a harness, and how broken input must be refused.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "core/error.h"

namespace phonelm::fuzz {

// Ends the process, which the fuzzer takes for a finding.
inline void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Runs `work`; an Error of one line that names something is how it may end.
template <class Work>
void may_refuse(Work work) {
  try {
    work();
  } catch (const Error& error) {
    const std::string_view message = error.what();
    check(!message.empty() && message.size() < 2000, "an error says something, and not too much");
    check(message.find_first_of("\r\n") == message.npos, "an error is one line");
  }
}

}  // namespace phonelm::fuzz
