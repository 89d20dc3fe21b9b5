#include "tokenizer/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "tokenizer/unicode_tables.h"

namespace phonelm::unicode {
namespace {

uint8_t search(char32_t code_point) {
  const auto* after =
      std::upper_bound(std::begin(kRanges), std::end(kRanges), code_point,
                       [](char32_t value, const Range& range) { return value < range.first; });
  return static_cast<uint8_t>(std::prev(after)->flags);
}

// One lookup for most of the characters in texts.
constexpr size_t kNumDirect = 0x10000;
const std::array<uint8_t, kNumDirect> kDirectFlags = [] {
  std::array<uint8_t, kNumDirect> table{};
  const auto* range = std::begin(kRanges);
  for (char32_t c = 0; c < table.size(); ++c) {
    if (std::next(range) != std::end(kRanges) && std::next(range)->first == c) ++range;
    table[c] = static_cast<uint8_t>(range->flags);
  }
  return table;
}();

}  // namespace

CodePoint decode(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[pos + i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const uint8_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  const CodePoint invalid{lead, 1, false};
  if (lead < 0xC2 || lead > 0xF4 || text.size() - pos < length) return invalid;
  char32_t value = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return invalid;
    value = value << 6 | (byte(i) & 0x3Fu);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = value >= 0xD800 && value < 0xE000;
  if (value < kSmallest[length] || value > 0x10FFFF || is_surrogate) return invalid;
  return {value, length, true};
}

void append(std::string& out, char32_t c) {
  const auto push = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | c >> 6);
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | c >> 12);
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | c >> 18);
    push(0x80 | (c >> 12 & 0x3F));
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

uint8_t flags(char32_t code_point) {
  return code_point < kNumDirect ? kDirectFlags[code_point] : search(code_point);
}

Char char_at(std::string_view text, size_t pos) {
  const auto byte = static_cast<uint8_t>(text[pos]);
  if (byte < 0x80) return {kDirectFlags[byte], 1};
  const CodePoint code_point = decode(text, pos);
  return {code_point.valid ? flags(code_point.value) : uint8_t{kOther}, code_point.num_bytes};
}

}  // namespace phonelm::unicode
