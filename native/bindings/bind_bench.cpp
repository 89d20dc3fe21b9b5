#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "bench/operators.h"
#include "bench/protocol.h"
#include "bindings/bind.h"
#include "core/processor.h"
#include "graph/model.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

nb::dict cpu_info() {
  nb::dict info;
  info["model"] = cpu_name();
  info["num_cores"] = num_usable_cores();
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
  info["isas"] = nb::cast(names);
  info["caches_bytes"] = nb::cast(cache_sizes());
  info["flags"] = nb::str(cpu_features().c_str()).attr("split")();
  return info;
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_bench(nb::module_& m) {
  m.def("cpu_info", &cpu_info);
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<OperatorBench>(m, "OperatorBench")
      .def(nb::init<>())
      .def("answer", &OperatorBench::answer, "line"_a, release);
  m.def("peak_int8_ops", &peak_int8_ops, "num_threads"_a, "isa"_a = "", release);
}
