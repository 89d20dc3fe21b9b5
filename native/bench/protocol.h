// Measuring by lines of text, so that the same requests reach this process, a program in a pipe, or one on a
// phone behind adb. A request names an operator and its sizes:
//   machine
//   matmul type=q4_0 rows=1536 cols=576 tokens=1 footprint=67108864 min_ms=5 isa=dotprod threads=4
// The answer is one line too: JSON of the machine; else a number (seconds of a call; of `bandwidth` bytes a
// second, of `int8` operations per second); or "error: " and what is wrong with the request.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "bench/bench.h"

namespace phonelm {

class OperatorBench {
 public:
  // Without the newlines. Never throws for what a request says. Requests from several threads wait for each
  // other: they would measure each other.
  std::string answer(std::string_view line);

 private:
  std::mutex mutex_;
  // Its team and weights stay for the next request of the same instruction set and threads.
  std::optional<Bench> bench_;
};

}  // namespace phonelm
