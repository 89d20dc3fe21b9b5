#include "bench/protocol.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "bench/machine.h"
#include "bench/request.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/printable.h"
#include "kernels/packed.h"

namespace phonelm {

namespace {

constexpr const char* kHow = "tokens footprint min_ms isa threads";
constexpr const char* kAlone = "footprint min_ms isa threads";

struct Measurement {
  const char* name;
  const char* required;  // keys, with spaces between
  const char* optional;
  size_t (*num_bytes)(const Request&);  // that measuring it takes, roughly: no less
  double (*measure)(Bench&, const Request&);
};

size_t area(const Request& request, const char* rows, const char* cols) {
  return static_cast<size_t>(request.integer(rows)) * static_cast<size_t>(request.integer(cols));
}

// Of floats for all tokens: what goes in, what comes out, and another of each.
size_t token_bytes(const Request& request, size_t width) {
  return 16 * width * static_cast<size_t>(request.integer("tokens"));
}

size_t footprint(const Request& request, size_t least) {
  return std::max(static_cast<size_t>(request.integer("footprint")), least);
}

size_t product_bytes(const Request& request, const char* rows, const char* cols) {
  // No type is larger than float.
  const size_t width = static_cast<size_t>(request.integer(rows) + request.integer(cols));
  return footprint(request, 4 * area(request, rows, cols)) + token_bytes(request, width);
}

size_t ffn_bytes(const Request& request) {
  const size_t width = static_cast<size_t>(request.integer("hidden") + 2 * request.integer("intermediate"));
  return footprint(request, 2 * area(request, "hidden", "intermediate")) + token_bytes(request, width);
}

size_t attention_bytes(const Request& request) {
  const auto context = static_cast<size_t>(request.integer("context"));
  const size_t queries = area(request, "heads", "head_dim");
  return footprint(request, 4 * context * area(request, "kv_heads", "head_dim")) +
         2 * token_bytes(request, 4 * queries);
}

TensorType type_of(const Request& request) { return tensor_type_by_name(request.text("type")); }

double measure_attention(Bench& bench, const Request& r) {
  return bench_attention(bench, r.size("heads"), r.size("kv_heads"), r.size("head_dim"), r.size("context"),
                         r.size("tokens"), parse_kv_type(r.text("kv_type")));
}

size_t vocab_bytes(const Request& r) { return 4 * static_cast<size_t>(r.integer("vocab")); }

const Measurement kMeasurements[] = {
    {"matmul", "type rows cols", kHow, [](const Request& r) { return product_bytes(r, "rows", "cols"); },
     [](Bench& bench, const Request& r) {
       return bench_matmul(bench, type_of(r), r.size("rows"), r.size("cols"), r.size("tokens"));
     }},
    {"attention", "heads kv_heads head_dim context", "kv_type tokens footprint min_ms isa threads",
     &attention_bytes, &measure_attention},
    {"project", "type rows hidden", kHow, [](const Request& r) { return product_bytes(r, "rows", "hidden"); },
     [](Bench& bench, const Request& r) {
       return bench_project(bench, type_of(r), r.size("rows"), r.size("hidden"), r.size("tokens"));
     }},
    {"add_attention", "type hidden width", kHow,
     [](const Request& r) { return product_bytes(r, "hidden", "width"); },
     [](Bench& bench, const Request& r) {
       return bench_add_attention(bench, type_of(r), r.size("hidden"), r.size("width"), r.size("tokens"));
     }},
    {"ffn", "type gated hidden intermediate", kHow, &ffn_bytes,
     [](Bench& bench, const Request& r) {
       return bench_ffn(bench, type_of(r), r.size("gated") != 0, r.size("hidden"), r.size("intermediate"),
                        r.size("tokens"));
     }},
    {"neurons", "type gated hidden intermediate live_percent", kHow, &ffn_bytes,
     [](Bench& bench, const Request& r) {
       return bench_neurons(bench, type_of(r), r.size("gated") != 0, r.size("hidden"), r.size("intermediate"),
                            r.size("live_percent"), r.size("tokens"));
     }},
    {"head", "type vocab hidden", kAlone,
     [](const Request& r) { return product_bytes(r, "vocab", "hidden"); },
     [](Bench& bench, const Request& r) {
       return bench_head(bench, type_of(r), r.size("vocab"), r.size("hidden"));
     }},
    {"embed", "vocab hidden", kHow, [](const Request& r) { return product_bytes(r, "vocab", "hidden"); },
     [](Bench& bench, const Request& r) {
       return bench_embed(bench, r.size("vocab"), r.size("hidden"), r.size("tokens"));
     }},
    {"sampling", "vocab", kAlone, &vocab_bytes,
     [](Bench& bench, const Request& r) { return bench_sampling(bench, r.size("vocab")); }},
    {"barrier", "", kAlone, [](const Request&) { return size_t{0}; },
     [](Bench& bench, const Request&) { return bench_barrier(bench); }},
    {"bandwidth", "bytes", kAlone, [](const Request& r) { return static_cast<size_t>(r.integer("bytes")); },
     [](Bench& bench, const Request& r) {
       return read_bandwidth(bench, static_cast<size_t>(r.integer("bytes")));
     }},
    {"int8", "", "threads isa", [](const Request&) { return size_t{1} << 24; },
     [](Bench&, const Request& r) { return peak_int8_ops(r.size("threads"), r.text("isa")); }},
};

const Measurement& find_measurement(const std::string& name) {
  std::string names = "machine";
  for (const Measurement& known : kMeasurements) {
    if (name == known.name) return known;
    names += std::string(", ") + known.name;
  }
  throw Error("there is no operator " + quoted(name) + "; take one of: " + names);
}

double measured(std::optional<Bench>& bench, const Request& request) {
  const Measurement& found = find_measurement(request.name());
  request.require_keys(found.required, found.optional);
  require_memory(found.num_bytes(request), "measuring " + request.name(), "take smaller sizes");
  const BenchOptions options = request.options();
  if (!bench || !bench->is_for(options)) bench.emplace(options);
  bench->set(options);
  return found.measure(*bench, request);
}

}  // namespace

std::string OperatorBench::answer(std::string_view line) {
  const std::lock_guard<std::mutex> lock(mutex_);
  try {
    const Request request(line);
    if (request.name() == "machine") return request.require_keys("", ""), machine_json();
    char text[32];
    std::snprintf(text, sizeof(text), "%.9g", measured(bench_, request));
    return text;
  } catch (const std::exception& error) {
    return "error: " + printable(error.what());
  }
}

}  // namespace phonelm
