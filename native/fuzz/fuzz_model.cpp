// Any bytes as a model: all of the loader, and one pass of a model that it takes.
#include <vector>

#include "fuzz/check.h"
#include "fuzz/memory_file.h"
#include "graph/model.h"
#include "graph/session.h"

namespace phonelm::fuzz {
namespace {

void use_model(const std::string& path) {
  LoadOptions options;
  options.isa = "scalar";
  options.num_threads = 1;
  options.context_length = 8;
  const auto model = Model::load(path, options);
  Session session(model, {.context_length = options.context_length});
  const std::vector<int32_t> tokens = {0, model->config().vocab_size - 1, 0};
  session.prefill(tokens);
  check(session.logits().size() == static_cast<size_t>(model->config().vocab_size), "a logit for each token");
}

}  // namespace
}  // namespace phonelm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phonelm::fuzz;
  const MemoryFile file(data, size);
  may_refuse([&] { use_model(file.path()); });
  return 0;
}
