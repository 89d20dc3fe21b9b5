#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

#include "system/machine.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace phonelm::system {

std::string system_name() {
  utsname system{};
  ::uname(&system);
  return std::string(system.sysname) + " " + system.machine;
}

// It is among the facts of /proc/cpuinfo.
std::string processor_name() { return ""; }

std::vector<int> usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return {};
  std::vector<int> found;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (CPU_ISSET(processor, &set)) found.push_back(processor);
  }
  return found;
}

std::string core_of(int processor, const std::string& root) {
  const std::string name = "cpu" + std::to_string(processor);
  std::ifstream file(root + "/sys/devices/system/cpu/" + name + "/topology/thread_siblings_list");
  std::string siblings;
  std::getline(file >> std::ws, siblings);
  return siblings.empty() ? name : siblings;
}

int num_processors() { return static_cast<int>(::sysconf(_SC_NPROCESSORS_CONF)); }

uint64_t physical_memory_bytes() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// It is in /proc/meminfo.
std::optional<uint64_t> free_memory_bytes() { return std::nullopt; }

#if defined(__aarch64__)
// By the bits of Linux's hwcap.h.
bool has_dotprod() { return ::getauxval(AT_HWCAP) & (1ul << 20); }  // HWCAP_ASIMDDP
bool has_i8mm() { return ::getauxval(AT_HWCAP2) & (1ul << 13); }    // HWCAP2_I8MM
#endif

}  // namespace phonelm::system
