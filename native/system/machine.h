// What the system says of the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace phonelm::system {

// Such as "Linux x86_64".
std::string system_name();
// As its maker sells it; empty where the system does not say.
std::string processor_name();

// The logical processors that this process may run on.
std::vector<int> usable_processors();
// A name for the core that a logical processor belongs to; its siblings have the same. `root` stands for "/".
std::string core_of(int processor, const std::string& root);
int num_processors();

uint64_t physical_memory_bytes();
// What can be had without swapping; nothing where the system does not say it by a call.
std::optional<uint64_t> free_memory_bytes();

#if defined(__aarch64__)
// Optional instructions: products of int8 by fours, and of small int8 matrices.
bool has_dotprod();
bool has_i8mm();
#endif

}  // namespace phonelm::system
