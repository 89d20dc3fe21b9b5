#include "core/json.h"

#include <charconv>

namespace phonelm {

namespace {

template <typename Float>
std::string shortest(Float value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof(digits), value).ptr};
}

void separate(std::string& items) {
  if (!items.empty()) items += ", ";
}

}  // namespace

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= 0x20 && c < 0x7f ? c : '?';
  }
  return out + "\"";
}

std::string json_number(float value) { return shortest(value); }
std::string json_number(double value) { return shortest(value); }

JsonArray& JsonArray::add(std::string_view json) {
  separate(items_);
  items_ += json;
  return *this;
}

JsonObject& JsonObject::add(std::string_view name, std::string_view json) {
  separate(members_);
  members_ += json_text(name);
  members_ += ": ";
  members_ += json;
  return *this;
}

JsonObject& JsonObject::add_text(std::string_view name, std::string_view text) {
  return add(name, json_text(text));
}

JsonObject& JsonObject::add_flag(std::string_view name, bool value) {
  return add(name, value ? "true" : "false");
}

JsonObject& JsonObject::add_count(std::string_view name, int64_t value) {
  return add(name, std::to_string(value));
}

JsonObject& JsonObject::add_number(std::string_view name, float value) {
  return add(name, json_number(value));
}

JsonObject& JsonObject::add_number(std::string_view name, double value) {
  return add(name, json_number(value));
}

}  // namespace phonelm
