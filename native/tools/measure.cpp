#include "tools/library.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

namespace phonelm::cli {

namespace {

Bench new_bench() {
  phonelm_bench* bench = nullptr;
  check([&](phonelm_error* error) { return phonelm_bench_new(&bench, error); });
  return Bench(bench);
}

int run(const Arguments&) {
  const Bench bench = new_bench();
  for (std::string request; read_line(request);) {
    const char* answer = nullptr;
    check([&](phonelm_error* error) {
      return phonelm_bench_ask(bench.get(), request.data(), request.size(), &answer, error);
    });
    print(std::string(answer) + "\n");
  }
  return 0;
}

}  // namespace

Verb measure_verb() {
  return {"measure",
          "Measure single operators: a request a line of standard input, an answer a line.\n"
          "\"machine\" is answered with JSON; an operator with the seconds of a call:\n"
          "  project type= rows= hidden=        attention heads= kv_heads= head_dim= context=\n"
          "  add_attention type= hidden= width= ffn type= gated= hidden= intermediate=\n"
          "  neurons type= gated= hidden= intermediate= live_percent=\n"
          "  head type= vocab= hidden=          embed vocab= hidden=\n"
          "  sampling vocab=                    matmul type= rows= cols=\n"
          "  barrier\n"
          "all with tokens=1 footprint=0 min_ms=5 isa= threads=0 where not given otherwise (head, "
          "sampling and barrier take no tokens);\n"
          "\"bandwidth bytes= threads=\" with bytes, \"int8 threads=\" with operations per second.\n",
          false,
          {},
          "phonelm-cli measure <<< \"matmul type=q4_0 rows=1536 cols=576\"",
          &run};
}

}  // namespace phonelm::cli
