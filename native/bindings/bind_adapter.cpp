#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/bind.h"
#include "graph/adapter.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace phonelm;

namespace {

// Files with their scales.
using Sources = std::vector<std::pair<Path, float>>;

std::shared_ptr<Adapters> load(std::shared_ptr<Model> model, const Sources& named) {
  std::vector<AdapterSource> sources;
  for (const auto& [path, scale] : named) sources.push_back({path.string(), scale});
  return Adapters::load(std::move(model), sources);
}

}  // namespace

void bind_adapter(nb::module_& m) {
  nb::class_<Adapters>(m, "Adapters")
      .def_static("load", &load, "model"_a, "sources"_a, nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("num_bytes", &Adapters::num_bytes);
}
