// The one error type of the core. It is a user's mistake or a broken file, said in one line with what to do;
// our own mistakes are asserts. The bindings turn it into Python's ValueError.
#pragma once

#include <stdexcept>
#include <string>

namespace phonelm {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace phonelm
