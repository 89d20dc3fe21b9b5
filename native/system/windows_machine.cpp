#include <windows.h>

#include "system/machine.h"
#include "system/windows_text.h"

namespace phonelm::system {

namespace {

constexpr int kMaxProcessors = 64;  // of the group that a process begins in

MEMORYSTATUSEX memory_status() {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof(status);
  ::GlobalMemoryStatusEx(&status);
  return status;
}

}  // namespace

std::string system_name() {
#if defined(__x86_64__)
  return "Windows x86_64";
#else
  return "Windows aarch64";
#endif
}

std::string processor_name() {
  wchar_t name[256] = L"";
  DWORD num_bytes = sizeof(name) - sizeof(wchar_t);
  const bool is_known =
      ::RegGetValueW(HKEY_LOCAL_MACHINE, L"HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0",
                     L"ProcessorNameString", RRF_RT_REG_SZ, nullptr, name, &num_bytes) == ERROR_SUCCESS;
  return is_known ? utf8_of(name) : "";
}

std::vector<int> usable_processors() {
  DWORD_PTR mine = 0, all = 0;
  std::vector<int> found;
  if (!::GetProcessAffinityMask(::GetCurrentProcess(), &mine, &all)) return found;
  for (int processor = 0; processor < kMaxProcessors; ++processor) {
    if ((mine >> processor & 1) != 0) found.push_back(processor);
  }
  return found;
}

std::string core_of(int processor, const std::string&) {
  DWORD num_bytes = 0;
  ::GetLogicalProcessorInformation(nullptr, &num_bytes);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> facts(num_bytes / sizeof(facts[0]));
  if (::GetLogicalProcessorInformation(facts.data(), &num_bytes)) {
    for (const auto& fact : facts) {
      if (fact.Relationship == RelationProcessorCore && (fact.ProcessorMask >> processor & 1) != 0)
        return std::to_string(fact.ProcessorMask);
    }
  }
  return "cpu" + std::to_string(processor);
}

int num_processors() {
  SYSTEM_INFO info{};
  ::GetSystemInfo(&info);
  return static_cast<int>(info.dwNumberOfProcessors);
}

uint64_t physical_memory_bytes() { return memory_status().ullTotalPhys; }

std::optional<uint64_t> free_memory_bytes() { return memory_status().ullAvailPhys; }

#if defined(__aarch64__)
bool has_dotprod() { return ::IsProcessorFeaturePresent(PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE); }
bool has_i8mm() { return false; }  // no call says so on all versions
#endif

}  // namespace phonelm::system
