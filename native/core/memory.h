// What memory this process can still get, and the refusal of what does not fit into it, before the system
// kills the process for trying.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace phonelm {

struct AvailableMemory {
  size_t num_bytes;
  std::string holder;  // who sets the limit: "this machine", or a narrower one
};

// The least of what the machine has (without swapping), what the control groups of this process leave it, and
// what its own limit on address space does. `root` stands for "/" in tests.
AvailableMemory available_memory(const std::string& root = "");

struct MemoryPart {
  std::string name;
  size_t num_bytes;
};

// Throws Error when the parts do not fit together, with the arithmetic in one line. `advice` is the next
// step.
void require_memory(const std::string& what, const std::vector<MemoryPart>& parts,
                    const AvailableMemory& available, const std::string& advice);

// The same for one thing, against what is available now.
void require_memory(size_t num_bytes, const std::string& what,
                    const std::string& advice = "take a shorter context or a smaller model");

}  // namespace phonelm
