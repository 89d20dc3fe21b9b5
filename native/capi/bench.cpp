#include "capi/objects.h"

using namespace phonelm;
using namespace phonelm::capi;

namespace {
using Benches = Handles<phonelm_bench, BenchObject>;
}

phonelm_status phonelm_bench_new(phonelm_bench** bench, phonelm_error* error) {
  return guarded(error, [&] {
    require(bench, "the address of the bench");
    *bench = Benches::all().add(std::make_shared<BenchObject>());
  });
}

phonelm_status phonelm_bench_free(phonelm_bench* bench) {
  return guarded(nullptr, [&] { Benches::all().remove(bench, "bench"); });
}

phonelm_status phonelm_bench_ask(phonelm_bench* bench, const char* request, size_t num_bytes,
                                 const char** answer, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(bench);
    require_array(request, num_bytes, "request");
    require(answer, "the address of the answer");
    const std::lock_guard<std::mutex> lock(object->mutex);
    object->last_answer = object->bench.answer({request, num_bytes});
    *answer = object->last_answer.c_str();
  });
}
