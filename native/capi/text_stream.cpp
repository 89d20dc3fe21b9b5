#include "capi/text_stream.h"

#include <cstdint>

namespace phonelm::capi {

namespace {

constexpr const char* kReplacement = "\xef\xbf\xbd";

// Bytes of the character that begins so; 0 for a byte that begins none.
size_t length_of(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

// Whether `byte` may follow the lead byte, of whose characters some would be overlong, surrogates or too
// large.
bool may_follow(uint8_t lead, uint8_t byte) {
  const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  return byte >= low && byte <= high;
}

bool continues(std::string_view text, size_t begin, size_t at) {
  const auto byte = static_cast<uint8_t>(text[at]);
  return at == begin + 1 ? may_follow(static_cast<uint8_t>(text[begin]), byte) : (byte & 0xc0) == 0x80;
}

}  // namespace

std::string TextStream::feed(std::string_view bytes) {
  const std::string text = held_.append(bytes);
  std::string out;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t length = length_of(static_cast<uint8_t>(text[begin]));
    size_t end = begin + 1;
    while (end < text.size() && end < begin + length && continues(text, begin, end)) ++end;
    if (end == text.size() && end < begin + length) break;
    end - begin == length ? out.append(text, begin, length) : out.append(kReplacement);
    begin = end;
  }
  held_ = text.substr(begin);
  return out;
}

std::string TextStream::finish() {
  const bool cut = !held_.empty();
  held_.clear();
  return cut ? kReplacement : "";
}

}  // namespace phonelm::capi
