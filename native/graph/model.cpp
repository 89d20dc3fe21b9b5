#include "graph/model.h"

#include <algorithm>

#include "core/error.h"
#include "graph/loader.h"

namespace phonelm {

int checked_num_threads(int num_threads) {
  if (num_threads < 1 || num_threads > kMaxThreads) {
    throw Error("threads is " + std::to_string(num_threads) + "; take 1 to " + std::to_string(kMaxThreads));
  }
  return num_threads;
}

int resolve_num_threads(int num_threads) {
  return num_threads == 0 ? std::min(num_usable_cores(), kMaxThreads) : checked_num_threads(num_threads);
}

std::shared_ptr<Model> Model::load(const std::string& path, const LoadOptions& options) {
  return Loader(path, options).run();
}

}  // namespace phonelm
