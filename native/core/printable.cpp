#include "core/printable.h"

#include <cstdint>

namespace phonelm {
namespace {

std::string escaped(std::string_view text, bool keep_utf8) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if ((byte >= ' ' && byte < 0x7F) || (keep_utf8 && byte >= 0x80)) {
      out += c;
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return escaped(text, true); }

std::string quoted(std::string_view text) {
  constexpr size_t kMaxBytes = 60;
  std::string out = "'";
  out += escaped(text.substr(0, kMaxBytes), false);
  out += text.size() > kMaxBytes ? "...'" : "'";
  return out;
}

}  // namespace phonelm
