#include "tools/json.h"

#include <cmath>
#include <cstdio>

#include "capi/text_stream.h"

namespace phonelm::cli {

// Bytes that are no UTF-8 (of a file's name, say) become U+FFFD.
std::string json_text(std::string_view text) {
  capi::TextStream stream;
  std::string whole = stream.feed(text);
  whole += stream.finish();
  std::string out = "\"";
  for (const char c : whole) {
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string json_number(double number) {
  if (!std::isfinite(number)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", number);
  return text;
}

JsonObject& JsonObject::put(std::string_view name, const std::string& json) {
  if (!members_.empty()) members_ += ", ";
  members_ += json_text(name) + ": " + json;
  return *this;
}

}  // namespace phonelm::cli
