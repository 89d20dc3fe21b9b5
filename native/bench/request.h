// One request of the measuring protocol: the name of an operator and its sizes, "key=value" words between
// spaces.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "bench/operators.h"

namespace phonelm {

class Request {
 public:
  // Throws Error for a word that is no key with a value, an unknown key, or one that is there twice.
  explicit Request(std::string_view line);

  const std::string& name() const { return name_; }
  // Throws Error when a key is missing, or is none of the two kinds.
  void require_keys(std::string_view required, std::string_view optional) const;

  // A whole number within what the key may be; its default where it was not given. Throws Error.
  int64_t integer(const char* key) const;
  int size(const char* key) const { return static_cast<int>(integer(key)); }
  double number(const char* key) const;
  std::string text(const char* key) const;
  // The keys footprint, min_ms, isa and threads.
  BenchOptions options() const;

 private:
  std::string name_;
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace phonelm
