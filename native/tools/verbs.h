// What phonelm-cli can do.
#pragma once

#include "tools/arguments.h"

namespace phonelm::cli {

Verb generate_verb();
Verb bench_verb();
Verb tokenize_verb();
Verb machine_verb();
Verb measure_verb();

}  // namespace phonelm::cli
