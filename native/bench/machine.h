// The machine, as a profile describes it.
#pragma once

#include <string>

namespace phonelm {

// One line of JSON: model, system ("Linux aarch64"), num_cores, isas (slowest first), caches_bytes by level,
// flags.
std::string machine_json();

}  // namespace phonelm
