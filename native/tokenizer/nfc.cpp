#include "tokenizer/nfc.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <tuple>
#include <vector>

#include "tokenizer/normalization_tables.h"
#include "tokenizer/unicode.h"

namespace phonelm::unicode {
namespace {

// Beyond all code points: a byte that is not UTF-8.
constexpr char32_t kStrayByte = 0x110000;

// Hangul's syllables are numbered by initial, vowel and final (The Unicode Standard, 3.12).
constexpr char32_t kSyllable = 0xAC00, kInitial = 0x1100, kVowel = 0x1161, kFinal = 0x11A7;
constexpr char32_t kNumInitials = 19, kNumVowels = 21, kNumFinals = 28;
constexpr char32_t kNumSyllables = kNumInitials * kNumVowels * kNumFinals;

bool is_in(char32_t c, char32_t first, char32_t count) { return c >= first && c - first < count; }

bool is_surely_nfc(std::string_view text) {
  constexpr uint8_t kLeadOf0300 = 0xCC;  // of the first code point that may be joined to another
  size_t pos = 0;
  while (pos < text.size()) {
    if (static_cast<uint8_t>(text[pos]) < kLeadOf0300) {
      ++pos;
      continue;
    }
    const Char c = char_at(text, pos);
    if (c.is(kNotAlwaysNfc)) return false;
    pos += c.num_bytes;
  }
  return true;
}

uint8_t combining_class(char32_t c) {
  if (c >= kStrayByte) return 0;
  const auto* after =
      std::upper_bound(std::begin(kCombiningClasses), std::end(kCombiningClasses), c,
                       [](char32_t value, const ClassRange& range) { return value < range.first; });
  return static_cast<uint8_t>(std::prev(after)->combining_class);
}

void append_decomposed(char32_t c, std::vector<char32_t>& out) {
  if (is_in(c, kSyllable, kNumSyllables)) {
    const char32_t number = c - kSyllable;
    out.push_back(kInitial + number / (kNumVowels * kNumFinals));
    out.push_back(kVowel + number / kNumFinals % kNumVowels);
    if (number % kNumFinals != 0) out.push_back(kFinal + number % kNumFinals);
    return;
  }
  const auto* found =
      std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), c,
                       [](const Decomposition& row, char32_t value) { return row.from < value; });
  if (found == std::end(kDecompositions) || found->from != c) return out.push_back(c);
  for (const char32_t part : found->to) {
    if (part != 0) out.push_back(part);
  }
}

std::vector<char32_t> decomposed(std::string_view text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = decode(text, pos);
    c.valid ? append_decomposed(c.value, out) : out.push_back(kStrayByte + c.value);
    pos += c.num_bytes;
  }
  return out;
}

// Marks in the order of their classes, between two characters of class 0.
void order(std::vector<char32_t>& text) {
  const auto is_mark = [](char32_t c) { return combining_class(c) != 0; };
  for (auto begin = text.begin(); begin != text.end();) {
    begin = std::find_if(begin, text.end(), is_mark);
    const auto end = std::find_if_not(begin, text.end(), is_mark);
    std::stable_sort(begin, end,
                     [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

// 0 when the two do not make one.
char32_t composed(char32_t first, char32_t second) {
  if (is_in(first, kInitial, kNumInitials) && is_in(second, kVowel, kNumVowels)) {
    return kSyllable + ((first - kInitial) * kNumVowels + (second - kVowel)) * kNumFinals;
  }
  const bool lacks_final = is_in(first, kSyllable, kNumSyllables) && (first - kSyllable) % kNumFinals == 0;
  if (lacks_final && is_in(second, kFinal + 1, kNumFinals - 1)) return first + (second - kFinal);
  const auto* found = std::lower_bound(
      std::begin(kCompositions), std::end(kCompositions), std::tie(first, second),
      [](const Composition& row, const auto& pair) { return std::tie(row.first, row.second) < pair; });
  const bool is_pair = found != std::end(kCompositions) && found->first == first && found->second == second;
  return is_pair ? found->both : 0;
}

// Joins each character to the last of class 0 before it, unless one between is in its way.
void compose(std::vector<char32_t>& text) {
  size_t num_kept = 0;
  size_t starter = text.size();
  int last_class = -1;  // of what was kept after the starter
  for (const char32_t c : text) {
    const int its_class = combining_class(c);
    const bool is_free = starter < num_kept && last_class < its_class;
    const char32_t both = is_free ? composed(text[starter], c) : 0;
    if (both != 0) {
      text[starter] = both;
      continue;
    }
    if (its_class == 0) starter = num_kept;
    last_class = its_class == 0 ? -1 : its_class;
    text[num_kept++] = c;
  }
  text.resize(num_kept);
}

}  // namespace

std::string_view to_nfc(std::string_view text, std::string& buffer) {
  if (is_surely_nfc(text)) return text;
  std::vector<char32_t> characters = decomposed(text);
  order(characters);
  compose(characters);
  buffer.clear();
  for (const char32_t c : characters) {
    c < kStrayByte ? append(buffer, c) : buffer.push_back(static_cast<char>(c - kStrayByte));
  }
  return buffer;
}

}  // namespace phonelm::unicode
