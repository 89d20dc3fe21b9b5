// The cores this process may use.
#pragma once

#include <string>

namespace phonelm {

// By affinity, and no more than the CPU time its control groups grant it. `root` stands for "/" in tests.
int num_usable_cores(const std::string& root = "");
// The same, counting each core once (SMT).
int num_physical_cores(const std::string& root = "");

}  // namespace phonelm
