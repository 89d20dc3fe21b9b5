#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>

#include "bindings/bind.h"
#include "core/error.h"
#include "graph/observer.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace phonelm;

namespace {

using Inputs = nb::ndarray<nb::numpy, float>;

ProductInput parse_input(const std::string& name) {
  const auto* found = std::ranges::find(kProductInputNames, name);
  if (found == kProductInputNames.end()) throw Error("no product has an input '" + name + "'");
  return static_cast<ProductInput>(found - kProductInputNames.begin());
}

// The first `cols` numbers of the rows observed last.
nb::object copied(const Observer& observer, const Rows& rows, int cols) {
  const auto width = static_cast<size_t>(cols);
  const size_t shape[2] = {static_cast<size_t>(observer.num_tokens()), width};
  auto* memory = new Buffer(std::max<size_t>(shape[0], 1) * width * sizeof(float));
  const nb::capsule owner(memory, [](void* p) noexcept { delete static_cast<Buffer*>(p); });
  for (int token = 0; token < observer.num_tokens(); ++token) {
    std::memcpy(memory->as<float>() + static_cast<size_t>(token) * width, rows.row(token),
                width * sizeof(float));
  }
  return nb::cast(Inputs(memory->data(), 2, shape, owner));
}

nb::object rows(const Observer& observer, int layer, const std::string& name) {
  const ProductInput input = parse_input(name);
  const Rows& found = observer.rows(layer, input);
  return copied(observer, found,
                ObservedRows::widths(observer.model().config(), layer)[static_cast<size_t>(input)]);
}

nb::object head_rows(const Observer& observer) {
  return copied(observer, observer.head_rows(), observer.model().config().hidden_size);
}

}  // namespace

void bind_observer(nb::module_& m) {
  nb::class_<Observer>(m, "Observer")
      .def(
          "__init__",
          [](Observer* self, std::shared_ptr<Model> model, int first_layer, int num_layers, bool with_head,
             int context_length) {
            new (self) Observer(std::move(model), first_layer, num_layers, with_head, context_length);
          },
          "model"_a, "first_layer"_a, "num_layers"_a, "with_head"_a, "context_length"_a)
      .def(
          "run",
          [](Observer& observer, const std::vector<int32_t>& tokens, int position) {
            observer.run(tokens, position);
          },
          "tokens"_a, "position"_a, nb::call_guard<nb::gil_scoped_release>())
      .def("rows", &rows, "layer"_a, "input"_a)
      .def("head_rows", &head_rows);
}
