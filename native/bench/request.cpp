#include "bench/request.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

#include "core/error.h"
#include "core/printable.h"
#include "graph/model.h"

namespace phonelm {

namespace {

// A key means the same for all operators.
struct Key {
  const char* name;
  int64_t low, high;
  const char* otherwise;  // the value where it is not given; only where an operator takes it as optional
};

constexpr int64_t kMaxBytes = int64_t{2} << 30;

// Texts have no range.
constexpr Key kKeys[] = {
    {"bytes", 4096, kMaxBytes, nullptr},
    {"cols", 1, 1 << 20, nullptr},
    {"context", 1, 1 << 20, nullptr},
    {"footprint", 0, kMaxBytes, "0"},
    {"gated", 0, 1, nullptr},
    {"head_dim", 2, 1024, nullptr},
    {"heads", 1, 1024, nullptr},
    {"hidden", 1, 1 << 20, nullptr},
    {"intermediate", 1, 1 << 20, nullptr},
    {"isa", 0, 0, ""},
    {"kv_heads", 1, 1024, nullptr},
    {"kv_type", 0, 0, "f16"},
    {"live_percent", 0, 100, nullptr},
    {"min_ms", 0, 10'000, "5"},
    {"rows", 1, 1 << 21, nullptr},
    {"threads", 0, kMaxThreads, "0"},
    {"tokens", 1, 1024, "1"},
    {"type", 0, 0, nullptr},
    {"vocab", 1, 1 << 21, nullptr},
    {"width", 1, 1 << 20, nullptr},
};

const Key* find_key(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key& key) { return name == key.name; });
  return found == std::end(kKeys) ? nullptr : found;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t begin = line.find_first_not_of(' ');
    if (begin == line.npos) return words;
    line.remove_prefix(begin);
    const size_t size = std::min(line.find(' '), line.size());
    words.push_back(line.substr(0, size));
    line.remove_prefix(size);
  }
}

bool holds(std::string_view list, std::string_view wanted) {
  const auto words = words_of(list);
  return std::find(words.begin(), words.end(), wanted) != words.end();
}

[[noreturn]] void refuse_value(const Key& key, std::string_view value) {
  throw Error(std::string(key.name) + " is " + quoted(value) + "; give a number from " +
              std::to_string(key.low) + " to " + std::to_string(key.high));
}

}  // namespace

Request::Request(std::string_view line) {
  const auto words = words_of(line);
  if (words.empty()) throw Error("the request is empty; give an operator and its sizes");
  name_ = words.front();
  for (auto word = words.begin() + 1; word != words.end(); ++word) {
    const size_t equals = word->find('=');
    if (equals == word->npos) throw Error(quoted(*word) + " is no key=value");
    const std::string_view key = word->substr(0, equals);
    if (!find_key(key)) throw Error("there is no key " + quoted(key));
    if (!values_.emplace(key, word->substr(equals + 1)).second)
      throw Error(std::string(key) + " is there twice");
  }
}

void Request::require_keys(std::string_view required, std::string_view optional) const {
  for (const std::string_view key : words_of(required)) {
    if (!values_.contains(key)) throw Error(name_ + " needs " + std::string(key) + "=");
  }
  for (const auto& [key, value] : values_) {
    if (!holds(required, key) && !holds(optional, key)) throw Error(name_ + " takes no " + key);
  }
}

std::string Request::text(const char* key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? find_key(key)->otherwise : found->second;
}

int64_t Request::integer(const char* key) const {
  const Key& known = *find_key(key);
  const std::string value = text(key);
  int64_t number = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = problem == std::errc() && end == value.data() + value.size();
  if (!whole || number < known.low || number > known.high) refuse_value(known, value);
  return number;
}

double Request::number(const char* key) const {
  const Key& known = *find_key(key);
  const std::string value = text(key);
  // Not from_chars: NDK's and Apple's C++ libraries do not read floats with it.
  char* end = nullptr;
  const double number = std::strtod(value.c_str(), &end);
  const bool whole = !value.empty() && end == value.c_str() + value.size();
  const bool inside = number >= static_cast<double>(known.low) && number <= static_cast<double>(known.high);
  if (!whole || !inside) refuse_value(known, value);
  return number;
}

BenchOptions Request::options() const {
  return {static_cast<size_t>(integer("footprint")), number("min_ms"), text("isa"), size("threads")};
}

}  // namespace phonelm
