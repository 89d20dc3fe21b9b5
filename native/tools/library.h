// The C interface as the program uses it: handles that free themselves, statuses that become exceptions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "phonelm.h"
#include "tools/arguments.h"

namespace phonelm::cli {

// What the library refused, or the system: one line, exit code 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// check([&](phonelm_error* error) { return phonelm_...(..., error); })
template <typename Call>
void check(Call&& call) {
  phonelm_error error;
  if (call(&error) != PHONELM_OK) throw Failure(error.message);
}

struct Free {
  void operator()(phonelm_model* model) const { phonelm_model_free(model); }
  void operator()(phonelm_session* session) const { phonelm_session_free(session); }
  void operator()(phonelm_sampler* sampler) const { phonelm_sampler_free(sampler); }
  void operator()(phonelm_bench* bench) const { phonelm_bench_free(bench); }
};
using Model = std::unique_ptr<phonelm_model, Free>;
using Session = std::unique_ptr<phonelm_session, Free>;
using Sampler = std::unique_ptr<phonelm_sampler, Free>;
using Bench = std::unique_ptr<phonelm_bench, Free>;

// With the options --threads, --isa, --kv and --dense as given.
Model load(const Arguments& arguments, int32_t context_length);
phonelm_model_info info_of(phonelm_model* model);
Session new_session(phonelm_model* model, int32_t context_length, bool slides = false);
Sampler new_sampler(const phonelm_sampler_options& options);
std::vector<int32_t> tokenize(phonelm_model* model, const std::string& text, uint32_t flags);

// The options that `load` reads.
std::vector<Option> load_options(std::vector<Option> others);

}  // namespace phonelm::cli
