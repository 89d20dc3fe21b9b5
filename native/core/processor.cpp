#include "core/processor.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "system/machine.h"

namespace phonelm {

namespace {

constexpr int kMaxCaches = 8;

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Calls `use(key, value)` for the lines "key : value" of /proc/cpuinfo until it returns true.
template <typename Use>
void for_each_fact(Use&& use) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && use(line, line.substr(colon + 2))) return;
  }
}

// Name and bytes of a cache; no name where there is none for data.
std::pair<std::string, int64_t> cache_at(const std::string& folder) {
  const std::string level = read_line(folder + "level");
  const std::string kind = read_line(folder + "type");
  const std::string size = read_line(folder + "size");
  if (level.empty() || kind == "Instruction" || size.empty() || size[0] < '0' || size[0] > '9') return {};
  return {"l" + level + (kind == "Data" ? "d" : ""),
          std::stoll(size.substr(0, 9)) * (size.back() == 'M' ? 1 << 20 : 1 << 10)};
}

}  // namespace

std::string cpu_name() {
  std::string name, parts;
  for_each_fact([&](const std::string& line, const std::string& value) {
    if (line.starts_with("model name")) name = value;
    if (line.starts_with("CPU part") && parts.find(value) == std::string::npos)
      parts += (parts.empty() ? "Arm part " : " + ") + value;
    return !name.empty();
  });
  if (name.empty()) name = parts.empty() ? system::processor_name() : parts;
  return name.empty() ? "unknown" : name;
}

std::string cpu_features() {
  std::string features;
  for_each_fact([&](const std::string& line, const std::string& value) {
    if (line.starts_with("flags") || line.starts_with("Features")) features = value;
    return !features.empty();
  });
  return features;
}

std::map<std::string, int64_t> cache_sizes() {
  std::map<std::string, int64_t> sizes;
  for (int core = 0; core < system::num_processors(); ++core) {
    for (int index = 0; index < kMaxCaches; ++index) {
      const auto [name, bytes] = cache_at("/sys/devices/system/cpu/cpu" + std::to_string(core) +
                                          "/cache/index" + std::to_string(index) + "/");
      if (!name.empty()) sizes[name] = std::max(sizes[name], bytes);
    }
  }
  return sizes;
}

}  // namespace phonelm
