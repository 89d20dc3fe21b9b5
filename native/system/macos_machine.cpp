// Compiled and linked only; no such machine has run it.
#include <mach/mach.h>
#include <sys/sysctl.h>
#include <sys/utsname.h>

#include "system/machine.h"

namespace phonelm::system {

namespace {

// A number of the system by its name; 0 where it has none of that name.
uint64_t number_of(const char* name) {
  uint64_t number = 0;  // little-endian: a shorter one fills its beginning
  size_t num_bytes = sizeof(number);
  return ::sysctlbyname(name, &number, &num_bytes, nullptr, 0) == 0 ? number : 0;
}

}  // namespace

std::string system_name() {
  utsname system{};
  ::uname(&system);
  return std::string(system.sysname) + " " + system.machine;
}

std::string processor_name() {
  char name[256] = "";
  size_t num_bytes = sizeof(name) - 1;
  return ::sysctlbyname("machdep.cpu.brand_string", name, &num_bytes, nullptr, 0) == 0 ? name : "";
}

std::vector<int> usable_processors() {
  std::vector<int> found;
  for (int processor = 0; processor < static_cast<int>(number_of("hw.logicalcpu")); ++processor)
    found.push_back(processor);
  return found;
}

// Apple's processors run one thread on a core.
std::string core_of(int processor, const std::string&) { return std::to_string(processor); }

int num_processors() { return static_cast<int>(number_of("hw.logicalcpu_max")); }

uint64_t physical_memory_bytes() { return number_of("hw.memsize"); }

std::optional<uint64_t> free_memory_bytes() {
  vm_statistics64 pages{};
  mach_msg_type_number_t num_words = HOST_VM_INFO64_COUNT;
  if (::host_statistics64(::mach_host_self(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages),
                          &num_words) != KERN_SUCCESS)
    return std::nullopt;
  const uint64_t num_pages = uint64_t{pages.free_count} + pages.inactive_count + pages.purgeable_count;
  return num_pages * number_of("hw.pagesize");
}

#if defined(__aarch64__)
bool has_dotprod() { return number_of("hw.optional.arm.FEAT_DotProd") != 0; }
bool has_i8mm() { return number_of("hw.optional.arm.FEAT_I8MM") != 0; }
#endif

}  // namespace phonelm::system
