// UTF-8 and the classes of code points that the pre-tokenizers ask for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace phonelm::unicode {

// The classes of GPT-2's regex (\p{L}, \p{N}, \s); each code point has one of them.
enum Class : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

// What unicode_tables.h packs into a byte: a class and flags.
inline constexpr uint8_t kClassMask = 3;
inline constexpr uint8_t kPunctuation = 4;    // \p{P}
inline constexpr uint8_t kDigit = 8;          // numeric for Hugging Face's Digits step
inline constexpr uint8_t kUpper = 16;         // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
inline constexpr uint8_t kLower = 32;         // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
inline constexpr uint8_t kNotAlwaysNfc = 64;  // NFC may change it, or join it to what is before it

struct CodePoint {
  char32_t value;
  uint8_t num_bytes;
  bool valid;  // false: one stray byte, `value` is that byte
};

// The code point at `pos` (< text.size()). Overlong forms, surrogates and cut sequences are invalid bytes.
CodePoint decode(std::string_view text, size_t pos);
void append(std::string& out, char32_t code_point);

// Class and flags of a valid code point.
uint8_t flags(char32_t code_point);

struct Char {
  uint8_t flags;
  uint8_t num_bytes;
  Class kind() const { return static_cast<Class>(flags & kClassMask); }
  bool is(uint8_t flag) const { return (flags & flag) != 0; }
};

// Flags and length of the character at `pos` (< text.size()); an invalid byte is kOther and one byte long.
Char char_at(std::string_view text, size_t pos);

}  // namespace phonelm::unicode
