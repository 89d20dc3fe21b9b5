#include "bench/machine.h"

#include <sstream>

#include "core/json.h"
#include "core/processor.h"
#include "kernels/kernels.h"
#include "system/machine.h"
#include "threads/cores.h"

namespace phonelm {

std::string machine_json() {
  JsonArray isas, flags;
  JsonObject caches;
  for (const Kernels* kernels : available_kernels()) isas.add(json_text(kernels->name));
  for (const auto& [name, bytes] : cache_sizes()) caches.add_count(name, static_cast<int64_t>(bytes));
  std::istringstream features(cpu_features());
  for (std::string flag; features >> flag;) flags.add(json_text(flag));
  return JsonObject()
      .add_text("model", cpu_name())
      .add_text("system", system::system_name())
      .add_count("num_cores", num_usable_cores())
      .add("isas", isas.str())
      .add("caches_bytes", caches.str())
      .add("flags", flags.str())
      .str();
}

}  // namespace phonelm
