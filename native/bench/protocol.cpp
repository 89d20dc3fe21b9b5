#include "bench/protocol.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "bench/machine.h"
#include "bench/request.h"
#include "core/error.h"
#include "core/memory.h"
#include "gguf/printable.h"
#include "kernels/packed.h"

namespace phonelm {

namespace {

constexpr const char* kHow = "tokens footprint min_ms isa threads";
constexpr const char* kAlone = "footprint min_ms isa threads";

struct Operator {
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

size_t matmul_bytes(const Request& request) {
  // No type is larger than float.
  const size_t matrix = 4 * area(request, "rows", "cols");
  const size_t width = static_cast<size_t>(request.integer("rows") + request.integer("cols"));
  return footprint(request, matrix) + token_bytes(request, width);
}

size_t attention_bytes(const Request& request) {
  const auto context = static_cast<size_t>(request.integer("context"));
  const size_t queries = area(request, "heads", "head_dim");
  return footprint(request, 4 * context * area(request, "kv_heads", "head_dim")) +
         2 * token_bytes(request, 4 * queries);
}

double measure_matmul(Bench& bench, const Request& r) {
  return bench_matmul(bench, tensor_type_by_name(r.text("type")), r.size("rows"), r.size("cols"),
                      r.size("tokens"));
}

double measure_attention(Bench& bench, const Request& r) {
  return bench_attention(bench, r.size("heads"), r.size("kv_heads"), r.size("head_dim"), r.size("context"),
                         r.size("tokens"), parse_kv_type(r.text("kv_type")));
}

size_t vocab_bytes(const Request& r) { return 4 * static_cast<size_t>(r.integer("vocab")); }

const Operator kOperators[] = {
    {"matmul", "type rows cols", kHow, &matmul_bytes, &measure_matmul},
    {"attention", "heads kv_heads head_dim context", "kv_type tokens footprint min_ms isa threads",
     &attention_bytes, &measure_attention},
    {"norm", "hidden", kHow,
     [](const Request& r) { return token_bytes(r, 64 + static_cast<size_t>(r.integer("hidden"))); },
     [](Bench& bench, const Request& r) { return bench_norm(bench, r.size("hidden"), r.size("tokens")); }},
    {"activation", "intermediate", kHow,
     [](const Request& r) { return token_bytes(r, static_cast<size_t>(r.integer("intermediate"))); },
     [](Bench& bench, const Request& r) {
       return bench_activation(bench, r.size("intermediate"), r.size("tokens"));
     }},
    {"neurons", "type gated hidden intermediate live_percent", kHow,
     [](const Request& r) {
       return footprint(r, 2 * area(r, "hidden", "intermediate")) +
              token_bytes(r, static_cast<size_t>(r.integer("hidden") + r.integer("intermediate")));
     },
     [](Bench& bench, const Request& r) {
       return bench_neurons(bench, tensor_type_by_name(r.text("type")), r.size("gated") != 0,
                            r.size("hidden"), r.size("intermediate"), r.size("live_percent"),
                            r.size("tokens"));
     }},
    {"pass", "vocab hidden", kHow,
     [](const Request& r) {
       return 2 * area(r, "vocab", "hidden") +
              token_bytes(r, 2048 + static_cast<size_t>(r.integer("hidden")));
     },
     [](Bench& bench, const Request& r) {
       return bench_pass(bench, r.size("vocab"), r.size("hidden"), r.size("tokens"));
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

const Operator& find_operator(const std::string& name) {
  std::string names = "machine";
  for (const Operator& known : kOperators) {
    if (name == known.name) return known;
    names += std::string(", ") + known.name;
  }
  throw Error("there is no operator " + quoted(name) + "; take one of: " + names);
}

double measured(std::optional<Bench>& bench, const Request& request) {
  const Operator& found = find_operator(request.name());
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
