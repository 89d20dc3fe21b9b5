// What the system says about the processors.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace phonelm {

// A name on x86; on Arm the numbers of its parts, of which a phone has several. "unknown" where it is.
std::string cpu_name();
// The features as /proc/cpuinfo lists them, spaces between.
std::string cpu_features();
// Of data, by level: "l1d", "l2", "l3"; the largest of each, since a phone's cores differ. Empty where the
// system does not say.
std::map<std::string, int64_t> cache_sizes();

}  // namespace phonelm
