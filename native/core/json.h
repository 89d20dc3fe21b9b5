// JSON on one line, written part by part: values that are objects or arrays are written by writers of their
// own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace phonelm {

// Bytes that are not printable ASCII become question marks: for names of systems, processors and kinds.
std::string json_text(std::string_view text);
// The shortest decimal that is this number.
std::string json_number(float value);
std::string json_number(double value);

class JsonArray {
 public:
  // An item that is JSON already.
  JsonArray& add(std::string_view json);
  std::string str() const { return "[" + items_ + "]"; }

 private:
  std::string items_;
};

class JsonObject {
 public:
  // A member that is JSON already.
  JsonObject& add(std::string_view name, std::string_view json);
  JsonObject& add_text(std::string_view name, std::string_view text);
  JsonObject& add_flag(std::string_view name, bool value);
  JsonObject& add_count(std::string_view name, int64_t value);
  JsonObject& add_number(std::string_view name, float value);
  JsonObject& add_number(std::string_view name, double value);
  std::string str() const { return "{" + members_ + "}"; }
  bool operator==(const JsonObject&) const = default;

 private:
  std::string members_;
};

}  // namespace phonelm
