#include "system/machine.h"

#include "capi/guard.h"
#include "core/memory.h"
#include "core/processor.h"
#include "kernels/kernels.h"
#include "threads/cores.h"

namespace phonelm::capi {

namespace {

std::string isa_names() {
  std::string names;
  for (const Kernels* kernels : available_kernels())
    names.append(names.empty() ? "" : ",").append(kernels->name);
  return names;
}

phonelm_machine_info machine_info() {
  static const std::string cpu = cpu_name();
  static const std::string isas = isa_names();
  phonelm_machine_info info{};
  info.cpu = cpu.c_str();
  info.isas = isas.c_str();
  info.memory_bytes = system::physical_memory_bytes();
  info.available_memory_bytes = available_memory().num_bytes;
  info.num_cores = num_usable_cores();
  info.num_physical_cores = num_physical_cores();
  return info;
}

}  // namespace

}  // namespace phonelm::capi

using namespace phonelm::capi;

phonelm_status phonelm_machine_get_info(phonelm_machine_info* info, phonelm_error* error) {
  return guarded(error, [&] { write_info(machine_info(), info, "info"); });
}
