#include "bench/machine.h"

#include <sys/utsname.h>

#include <sstream>

#include "core/processor.h"
#include "kernels/kernels.h"
#include "threads/cores.h"

namespace phonelm {

namespace {

// What systems and processors are called is ASCII; a byte that is not becomes a question mark.
std::string json_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= 0x20 && c < 0x7f ? c : '?';
  }
  return out + "\"";
}

std::string system_name() {
  utsname system{};
  uname(&system);
  return std::string(system.sysname) + " " + system.machine;
}

// Items that are JSON already, with commas between.
class List {
 public:
  void add(const std::string& item) { (items_ += items_.empty() ? "" : ", ") += item; }
  const std::string& str() const { return items_; }

 private:
  std::string items_;
};

}  // namespace

std::string machine_json() {
  List isas, caches, flags;
  for (const Kernels* kernels : available_kernels()) isas.add(json_text(kernels->name));
  for (const auto& [name, bytes] : cache_sizes()) caches.add(json_text(name) + ": " + std::to_string(bytes));
  std::istringstream features(cpu_features());
  for (std::string flag; features >> flag;) flags.add(json_text(flag));
  List members;
  members.add("\"model\": " + json_text(cpu_name()));
  members.add("\"system\": " + json_text(system_name()));
  members.add("\"num_cores\": " + std::to_string(num_usable_cores()));
  members.add("\"isas\": [" + isas.str() + "]");
  members.add("\"caches_bytes\": {" + caches.str() + "}");
  members.add("\"flags\": [" + flags.str() + "]");
  return "{" + members.str() + "}";
}

}  // namespace phonelm
