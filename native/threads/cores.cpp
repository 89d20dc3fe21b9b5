#include "threads/cores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>

#include "core/cgroup.h"
#include "system/machine.h"

namespace phonelm {

namespace {

// CPU seconds a second that the control groups grant; infinity without a limit. Version 2 has "QUOTA PERIOD"
// in one file, version 1 the two in two; QUOTA is "max" or -1 for none, which is no positive number.
double granted_cores(const std::string& root) {
  double granted = std::numeric_limits<double>::infinity();
  for (const auto& folder : cgroup_folders("cpu", root)) {
    for (const char* name : {"cpu.max", "cpu.cfs_quota_us"}) {
      double quota = 0.0;
      double period = 0.0;
      std::ifstream file(folder / name);
      if (!(file >> quota)) continue;
      if (!(file >> period)) std::ifstream(folder / "cpu.cfs_period_us") >> period;
      if (quota > 0.0 && period > 0.0) granted = std::min(granted, quota / period);
    }
  }
  return granted;
}

int at_most_granted(int num_cores, const std::string& root) {
  const double granted = std::ceil(granted_cores(root));
  return granted < num_cores ? std::max(1, static_cast<int>(granted)) : num_cores;
}

}  // namespace

int num_usable_cores(const std::string& root) {
  return at_most_granted(std::max(static_cast<int>(system::usable_processors().size()), 1), root);
}

int num_physical_cores(const std::string& root) {
  std::set<std::string> cores;
  for (const int processor : system::usable_processors()) cores.insert(system::core_of(processor, root));
  return at_most_granted(std::max(static_cast<int>(cores.size()), 1), root);
}

}  // namespace phonelm
