#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <fstream>

#include "bench/operators.h"
#include "bindings/bind.h"
#include "core/error.h"
#include "graph/model.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {

namespace {

TensorType type_by_name(const std::string& name) {
  for (const TensorType type : kTensorTypes) {
    std::string known = tensor_type_name(type);
    if (name == known) return type;
    for (char& c : known) c = static_cast<char>(std::tolower(c));
    if (name == known) return type;
  }
  throw Error("tensor type '" + name + "' is not known; take " + tensor_type_names());
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Value of a line "key : value" of /proc/cpuinfo.
std::string cpu_field(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.rfind(key, 0) == 0 && colon != std::string::npos && colon + 2 <= line.size()) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

nb::dict cache_sizes() {
  nb::dict sizes;
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    const std::string level = read_line(folder + "level");
    const std::string kind = read_line(folder + "type");
    const std::string size = read_line(folder + "size");
    if (level.empty() || size.empty() || kind == "Instruction") continue;
    const std::string name = "l" + level + (kind == "Data" ? "d" : "");
    sizes[name.c_str()] = std::stoll(size) * (size.back() == 'M' ? 1 << 20 : 1 << 10);
  }
  return sizes;
}

nb::dict cpu_info() {
  nb::dict info;
  info["model"] = cpu_field("model name");
  info["num_cores"] = num_usable_cores();
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
  info["isas"] = nb::cast(names);
  info["caches_bytes"] = cache_sizes();
  info["flags"] = nb::str(cpu_field("flags").c_str()).attr("split")();
  return info;
}

BenchOptions options_of(size_t footprint_bytes, double min_time_ms, const std::string& isa, int num_threads) {
  return {footprint_bytes, min_time_ms, isa, num_threads};
}

}  // namespace

}  // namespace phonelm

using namespace phonelm;

void bind_bench(nb::module_& m) {
  m.def("cpu_info", &cpu_info);
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def(
      "bench_matmul",
      [](const std::string& type, int rows, int cols, int num_tokens, size_t footprint, double ms,
         const std::string& isa, int threads) {
        return bench_matmul(type_by_name(type), rows, cols, num_tokens,
                            options_of(footprint, ms, isa, threads));
      },
      "type"_a, "rows"_a, "cols"_a, "num_tokens"_a = 1, "footprint_bytes"_a = 0, "min_time_ms"_a = 5.0,
      "isa"_a = "", "num_threads"_a = 0, release);
  m.def(
      "bench_attention",
      [](int heads, int kv_heads, int head_dim, int context, int num_tokens, size_t footprint, double ms,
         const std::string& isa, int threads, const std::string& kv_type) {
        return bench_attention(heads, kv_heads, head_dim, context, num_tokens,
                               options_of(footprint, ms, isa, threads), parse_kv_type(kv_type));
      },
      "num_heads"_a, "num_kv_heads"_a, "head_dim"_a, "context"_a, "num_tokens"_a = 1, "footprint_bytes"_a = 0,
      "min_time_ms"_a = 5.0, "isa"_a = "", "num_threads"_a = 0, "kv_type"_a = "f16", release);
  const auto bind_sized = [&](const char* name, double (*bench)(int, int, const BenchOptions&),
                              const char* size) {
    m.def(
        name,
        [bench](int width, int num_tokens, size_t footprint, double ms, const std::string& isa, int threads) {
          return bench(width, num_tokens, options_of(footprint, ms, isa, threads));
        },
        nb::arg(size), "num_tokens"_a = 1, "footprint_bytes"_a = 0, "min_time_ms"_a = 5.0, "isa"_a = "",
        "num_threads"_a = 0, nb::call_guard<nb::gil_scoped_release>());
  };
  bind_sized("bench_norm", &bench_norm, "hidden");
  bind_sized("bench_activation", &bench_activation, "intermediate");
  m.def(
      "bench_token_overhead",
      [](int vocab, int hidden, int num_tokens, size_t footprint, double ms, const std::string& isa,
         int threads) {
        return bench_token_overhead(vocab, hidden, num_tokens, options_of(footprint, ms, isa, threads));
      },
      "vocab"_a, "hidden"_a, "num_tokens"_a = 1, "footprint_bytes"_a = 0, "min_time_ms"_a = 5.0, "isa"_a = "",
      "num_threads"_a = 0, release);
  m.def("read_bandwidth", &read_bandwidth, "num_bytes"_a, "num_threads"_a, "min_time_ms"_a = 20.0, release);
  m.def("peak_int8_ops", &peak_int8_ops, "num_threads"_a, "isa"_a = "", release);
}
