// GPT-2's mapping of the 256 bytes to printable characters, in which vocabularies and merges are written
// (`bytes_to_unicode` of GPT-2's encoder.py): printable Latin-1 stands for itself, the others are U+0100
// onwards.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace phonelm {

class ByteMap {
 public:
  ByteMap();
  // UTF-8 of the character that stands for a byte.
  const std::string& text(uint8_t byte) const { return text_[byte]; }
  // Bytes that a token's text stands for; nullopt when a character of it stands for no byte.
  std::optional<std::string> bytes(std::string_view text) const;

 private:
  static constexpr char32_t kEnd = 0x144;  // one past the last character in use
  std::array<std::string, 256> text_;
  std::array<int16_t, kEnd> byte_of_;  // -1: stands for no byte
};

}  // namespace phonelm
