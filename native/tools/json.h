// JSON, written in order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace phonelm::cli {

std::string json_text(std::string_view text);
std::string json_number(double number);

// {"name": value, ...} of values that are JSON already.
class JsonObject {
 public:
  JsonObject& put(std::string_view name, const std::string& json);
  JsonObject& text(std::string_view name, std::string_view text) { return put(name, json_text(text)); }
  JsonObject& number(std::string_view name, double number) { return put(name, json_number(number)); }
  JsonObject& integer(std::string_view name, int64_t number) { return put(name, std::to_string(number)); }
  std::string str() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

template <typename Values, typename Write>
std::string json_array(const Values& values, Write&& write) {
  std::string items;
  for (const auto& value : values) items += (items.empty() ? "" : ", ") + write(value);
  return "[" + items + "]";
}

}  // namespace phonelm::cli
