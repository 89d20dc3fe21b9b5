#include "tokenizer/byte_map.h"

#include "tokenizer/unicode.h"

namespace phonelm {

ByteMap::ByteMap() {
  byte_of_.fill(-1);
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    const char32_t character = printable ? byte : next++;
    unicode::append(text_[byte], character);
    byte_of_[character] = static_cast<int16_t>(byte);
  }
}

std::optional<std::string> ByteMap::bytes(std::string_view text) const {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const unicode::CodePoint c = unicode::decode(text, pos);
    if (!c.valid || c.value >= kEnd || byte_of_[c.value] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte_of_[c.value]));
    pos += c.num_bytes;
  }
  return bytes;
}

}  // namespace phonelm
