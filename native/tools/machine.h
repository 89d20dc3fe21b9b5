// The machine as the library sees it.
#pragma once

#include <string>

namespace phonelm::cli {

// Under the names of Python's `phonelm bench --json`, with the memory.
std::string machine_json();

}  // namespace phonelm::cli
