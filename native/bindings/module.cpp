#include "bindings/bind.h"

NB_MODULE(_native, module) {
  module.doc() = "The native core: GGUF reader, tokenizer, graph, kernels, sampling, measurement.";
  bind_tokenizer(module);
  bind_adapter(module);
  bind_sampler(module);
  bind_model(module);
  bind_observer(module);
  bind_bench(module);
  bind_operators(module);
  bind_kernels(module);
  bind_neurons(module);
  bind_amx(module);
  bind_system(module);
}
