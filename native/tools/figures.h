// The figures of a model on this machine, as text.
#pragma once

#include <string>
#include <vector>

#include "phonelm.h"

namespace phonelm::cli {

struct Counts {
  int prompt;
  int generated;
  int repeats;
};

struct Timed {
  double prefill_s;
  double decode_s;
  std::string kv_type;
  uint64_t kv_bytes;
  std::vector<double> live_fractions;
};

struct Figures {
  double load_s;
  uint64_t base_bytes;
  uint64_t peak_bytes;
  double bandwidth;
  phonelm_model_info info;
  Counts counts;
  std::vector<Timed> runs;
};

// One JSON document with the machine, under the names of Python's `phonelm bench --json`.
std::string figures_document(const std::string& path, const Figures& figures);
std::string figures_table(const std::string& path, const Figures& figures);

}  // namespace phonelm::cli
