#include "core/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>

#include "core/cgroup.h"
#include "core/error.h"
#include "system/machine.h"
#include "system/memory.h"

namespace phonelm {

namespace {

constexpr size_t kGigabyte = 1'000'000'000;

// The number after `key` in a file of lines "key number"; without a key, the file's first word.
std::optional<size_t> read_number(const std::filesystem::path& path, const std::string& key = "") {
  std::ifstream file(path);
  for (std::string word; key.empty() || file >> word;) {
    uint64_t number = 0;
    if (key.empty() || word == key) return file >> number ? std::optional<size_t>(number) : std::nullopt;
  }
  return std::nullopt;
}

size_t machine_bytes(const std::string& root) {
  if (const auto kib = read_number(root + "/proc/meminfo", "MemAvailable:")) return *kib * 1024;
  return static_cast<size_t>(system::free_memory_bytes().value_or(system::physical_memory_bytes()));
}

// What a control group's limit leaves. Its cached file pages are given back when memory is short.
std::optional<size_t> group_bytes(const std::filesystem::path& folder) {
  struct Names {
    const char *limit, *usage, *inactive, *active;
  };
  constexpr Names kVersions[] = {
      {"memory.max", "memory.current", "inactive_file", "active_file"},
      {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file"}};
  for (const Names& names : kVersions) {
    const auto limit = read_number(folder / names.limit);
    const auto usage = read_number(folder / names.usage);
    if (!limit || !usage) continue;
    const size_t cached = read_number(folder / "memory.stat", names.inactive).value_or(0) +
                          read_number(folder / "memory.stat", names.active).value_or(0);
    const size_t held = *usage - std::min(cached, *usage);
    return *limit - std::min(held, *limit);
  }
  return std::nullopt;
}

std::optional<size_t> address_space_bytes() {
  const std::optional<uint64_t> limit = system::address_space_limit();
  if (!limit) return std::nullopt;
  const uint64_t used = read_number("/proc/self/status", "VmSize:").value_or(0) * uint64_t{1024};
  return static_cast<size_t>(*limit - std::min(used, *limit));
}

// In GB where `scale_bytes` is at least one, else in MB.
std::string number_of(size_t num_bytes, size_t scale_bytes) {
  const bool large = scale_bytes >= kGigabyte;
  char text[32];
  std::snprintf(text, sizeof(text), large ? "%.1f" : "%.0f",
                static_cast<double>(num_bytes) / (large ? 1e9 : 1e6));
  return text;
}

std::string amount_of(size_t num_bytes) {
  return number_of(num_bytes, num_bytes) + (num_bytes >= kGigabyte ? " GB" : " MB");
}

}  // namespace

AvailableMemory available_memory(const std::string& root) {
  AvailableMemory least{machine_bytes(root), "this machine"};
  const auto narrow = [&](std::optional<size_t> num_bytes, const char* holder) {
    if (num_bytes && *num_bytes < least.num_bytes) least = {*num_bytes, holder};
  };
  for (const auto& folder : cgroup_folders("memory", root))
    narrow(group_bytes(folder), "this process's control group");
  narrow(address_space_bytes(), "this process's address space (ulimit -v)");
  return least;
}

void require_memory(const std::string& what, const std::vector<MemoryPart>& parts,
                    const AvailableMemory& available, const std::string& advice) {
  size_t total = 0;
  for (const MemoryPart& part : parts) total += part.num_bytes;
  if (total <= available.num_bytes) return;
  std::string list;
  for (const MemoryPart& part : parts)
    list += (list.empty() ? " (" : ", ") + part.name + " " + number_of(part.num_bytes, total);
  throw Error(what + " needs " + amount_of(total) + (parts.size() > 1 ? list + ")" : "") + " and " +
              available.holder + " has " + amount_of(available.num_bytes) + " available; " + advice);
}

void require_memory(size_t num_bytes, const std::string& what, const std::string& advice) {
  require_memory(what, {{what, num_bytes}}, available_memory(), advice);
}

}  // namespace phonelm
