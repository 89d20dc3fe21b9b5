// The thread team and the memory limits, for their tests.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/bind.h"
#include "core/memory.h"
#include "graph/tuning.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

// For each run, a number of rounds in which every active thread adds up what all of them have written in the
// round before; returns the threads' sums of the last round, run by run.
std::vector<std::vector<int>> team_sums(int num_threads, const std::vector<int>& num_active, int num_rounds) {
  ThreadPool pool(num_threads);
  std::vector<std::vector<int>> sums;
  for (const int active : num_active) {
    std::vector<int> even(static_cast<size_t>(active), 1);
    std::vector<int> odd(static_cast<size_t>(active), 0);
    pool.run(active, [&](int thread) {
      for (int round = 0; round < num_rounds; ++round) {
        const auto& before = round % 2 == 0 ? even : odd;
        auto& after = round % 2 == 0 ? odd : even;
        int sum = 0;
        for (const int value : before) sum += value;
        after[static_cast<size_t>(thread)] = sum % 1009;
        pool.barrier();
      }
    });
    sums.push_back(num_rounds % 2 == 0 ? even : odd);
  }
  return sums;
}

std::pair<size_t, std::string> available(const std::string& root) {
  const AvailableMemory memory = available_memory(root);
  return {memory.num_bytes, memory.holder};
}

void require(const std::string& what, const std::vector<std::pair<std::string, size_t>>& parts,
             size_t available_bytes, const std::string& advice) {
  std::vector<MemoryPart> list;
  for (const auto& [name, num_bytes] : parts) list.push_back({name, num_bytes});
  require_memory(what, list, {available_bytes, "this machine"}, advice);
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_system(nb::module_& m) {
  m.def("team_sums", &team_sums, "num_threads"_a, "num_active"_a, "num_rounds"_a,
        nb::call_guard<nb::gil_scoped_release>());
  m.def("thread_candidates", &thread_candidates, "num_physical"_a, "num_cores"_a);
  m.def("num_usable_cores", &num_usable_cores, "root"_a = "");
  m.def("num_physical_cores", &num_physical_cores, "root"_a = "");
  m.def("available_memory", &available, "root"_a = "");
  m.def("require_memory", &require, "what"_a, "parts"_a, "available_bytes"_a, "advice"_a);
}
