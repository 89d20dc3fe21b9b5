#include "tools/machine.h"

#include "system/machine.h"
#include "tools/json.h"
#include "tools/library.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

namespace phonelm::cli {

namespace {

std::vector<std::string> words_of(const std::string& comma_list) {
  std::vector<std::string> words(1);
  for (const char c : comma_list) {
    if (c == ',')
      words.emplace_back();
    else
      words.back().push_back(c);
  }
  return words;
}

int run(const Arguments&) {
  print(machine_json() + "\n");
  return 0;
}

}  // namespace

std::string machine_json() {
  phonelm_machine_info info{};
  info.size = sizeof(info);
  check([&](phonelm_error* error) { return phonelm_machine_get_info(&info, error); });
  JsonObject object;
  object.text("model", info.cpu).text("system", system::system_name());
  object.integer("num_cores", info.num_cores).integer("num_physical_cores", info.num_physical_cores);
  object.put("isas", json_array(words_of(info.isas), json_text));
  object.integer("memory_bytes", static_cast<int64_t>(info.memory_bytes));
  object.integer("available_memory_bytes", static_cast<int64_t>(info.available_memory_bytes));
  return object.str();
}

Verb machine_verb() {
  return {"machine",
          "Print what this machine has as one JSON document: cores, memory, instruction sets.\n",
          false,
          {},
          "phonelm-cli machine",
          &run};
}

}  // namespace phonelm::cli
