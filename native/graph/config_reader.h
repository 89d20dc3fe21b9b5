// Typed, bounded lookups of an architecture's metadata. Whatever is out of range is refused by its key's
// name.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "gguf/gguf.h"

namespace phonelm {

class ConfigReader {
 public:
  ConfigReader(const GgufFile& file, const std::string& architecture)
      : file_(file), prefix_(architecture + ".") {}

  const GgufFile& file() const { return file_; }
  bool has(const std::string& name) const { return find(name) != nullptr; }

  int count(const std::string& name, int64_t most) const {
    const auto value = file_.get_int(prefix_ + name);
    if (!value) refuse(name, "is missing");
    return checked(name, *value, most);
  }
  int count_or(const std::string& name, int64_t fallback, int64_t most) const {
    return checked(name, file_.get_int(prefix_ + name).value_or(fallback), most);
  }
  // Of all layers, where a file may also have a number for each: equal ones, or they are refused.
  int layer_count(const std::string& name, int num_layers, int64_t most) const {
    const auto value = of_all_layers(name, num_layers);
    if (!value) refuse(name, "is missing");
    return checked(name, *value, most);
  }
  int layer_count_or(const std::string& name, int64_t fallback, int num_layers, int64_t most) const {
    return checked(name, of_all_layers(name, num_layers).value_or(fallback), most);
  }
  // For a key with an entry for each layer.
  void check_num_entries(const std::string& name, size_t num_entries, int num_layers) const {
    if (num_entries == static_cast<size_t>(num_layers)) return;
    refuse(name,
           "has " + std::to_string(num_entries) + " entries for " + std::to_string(num_layers) + " layers");
  }
  float positive(const std::string& name, double fallback) const {
    return positive_of(name, file_.get_float(prefix_ + name).value_or(fallback));
  }
  // 1 where it is absent or 0.
  float factor(const std::string& name) const {
    const double value = file_.get_float(prefix_ + name).value_or(0.0);
    return value == 0.0 ? 1.0f : positive_of(name, value);
  }
  std::string text_or(const std::string& name, const char* fallback) const {
    const std::string* value = file_.get_string(prefix_ + name);
    return value ? *value : fallback;
  }
  bool flag_or(const std::string& name, bool fallback) const {
    return file_.get_bool(prefix_ + name).value_or(fallback);
  }
  bool is_zero(const std::string& name) const {
    const MetaValue* value = find(name);
    const int64_t* integer = value ? std::get_if<int64_t>(value) : nullptr;
    return integer && *integer == 0;
  }
  // nullptr where the key is missing or of another kind.
  const std::vector<bool>* flags(const std::string& name) const {
    const MetaValue* value = find(name);
    return value ? std::get_if<std::vector<bool>>(value) : nullptr;
  }
  // For a key that means nothing when it is absent, false, 0 or 1, and something unknown otherwise.
  void refuse_unless_neutral(const std::string& name) const {
    const MetaValue* value = find(name);
    if (!value) return;
    const bool* flag = std::get_if<bool>(value);
    const int64_t* integer = std::get_if<int64_t>(value);
    const double* number = std::get_if<double>(value);
    const bool neutral = (flag && !*flag) || (integer && (*integer == 0 || *integer == 1)) ||
                         (number && (*number == 0.0 || *number == 1.0));
    if (!neutral) refuse(name, "is set, which is not supported");
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw Error(file_.path() + ": " + prefix_ + name + " " + what +
                "; the file is broken or of a kind not supported");
  }

 private:
  const MetaValue* find(const std::string& name) const {
    const auto place = file_.metadata().find(prefix_ + name);
    return place == file_.metadata().end() ? nullptr : &place->second;
  }
  std::optional<int64_t> of_all_layers(const std::string& name, int num_layers) const {
    const MetaValue* value = find(name);
    const auto* each = value ? std::get_if<std::vector<int64_t>>(value) : nullptr;
    if (!each) return file_.get_int(prefix_ + name);
    check_num_entries(name, each->size(), num_layers);
    const bool are_equal = std::ranges::adjacent_find(*each, std::not_equal_to()) == each->end();
    if (!are_equal) refuse(name, "differs from layer to layer, which is not supported");
    return each->front();
  }
  int checked(const std::string& name, int64_t value, int64_t most) const {
    if (value < 1 || value > most)
      refuse(name, "is " + std::to_string(value) + ", not 1 to " + std::to_string(most));
    return static_cast<int>(value);
  }
  float positive_of(const std::string& name, double value) const {
    const auto number = static_cast<float>(value);
    if (!std::isfinite(number) || number <= 0.0f)
      refuse(name, "is " + std::to_string(value) + ", not positive");
    return number;
  }

  const GgufFile& file_;
  const std::string prefix_;
};

}  // namespace phonelm
