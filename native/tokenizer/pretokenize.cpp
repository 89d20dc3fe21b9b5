#include "tokenizer/pretokenize.h"

#include <algorithm>
#include <cstddef>

#include "tokenizer/unicode.h"

namespace phonelm {
namespace {

using unicode::Char;
using unicode::char_at;

// End of the longest run from `pos` of characters that satisfy `belongs`.
template <class Belongs>
size_t run_end(std::string_view text, size_t pos, Belongs belongs) {
  while (pos < text.size()) {
    const Char c = char_at(text, pos);
    if (!belongs(c, text[pos])) break;
    pos += c.num_bytes;
  }
  return pos;
}

// Cuts out the runs that satisfy `belongs`: they go to `emit_run`, what lies between to `emit_rest`.
template <class Belongs, class EmitRun, class EmitRest>
void isolate(std::string_view text, Belongs belongs, EmitRun emit_run, EmitRest emit_rest) {
  const auto rest = [&](Char c, char first) { return !belongs(c, first); };
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = run_end(text, pos, rest);
    if (begin > pos) emit_rest(text.substr(pos, begin - pos));
    const size_t end = run_end(text, begin, belongs);
    if (end > begin) emit_run(text.substr(begin, end - begin));
    pos = end;
  }
}

constexpr std::string_view kLongS = "\xC5\xBF";  // folds to s, so the regular expressions take it for one

// Length of 's 't 're 've 'm 'll 'd at `pos`, 0 when there is none.
size_t contraction_length(std::string_view text, size_t pos, bool any_case) {
  if (pos + 1 >= text.size() || text[pos] != '\'') return 0;
  const auto letter = [&](size_t i) -> char {
    const char c = i < text.size() ? text[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  };
  const char first = letter(pos + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = letter(pos + 2);
  const bool is_pair = ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
  if (is_pair) return 3;
  return any_case && text.substr(pos + 1, kLongS.size()) == kLongS ? 1 + kLongS.size() : 0;
}

// White space at `pos`: `\s+(?!\S)` leaves the last one to the word that follows, if one does. With line ends
// before all else: `\s*[\r\n]+`.
size_t space_end(std::string_view text, size_t pos, bool line_ends) {
  size_t last = pos;
  size_t end = pos;
  size_t line_end = pos;
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (c.kind() != unicode::kSpace) break;
    last = end;
    end += c.num_bytes;
    if (text[last] == '\r' || text[last] == '\n') line_end = end;
  }
  if (line_ends && line_end > pos) return line_end;
  return end < text.size() && last > pos ? last : end;
}

size_t gpt2_word_end(std::string_view text, size_t pos) {
  if (const size_t length = contraction_length(text, pos, false); length > 0) return pos + length;
  const size_t start = text[pos] == ' ' && pos + 1 < text.size() ? pos + 1 : pos;
  const unicode::Class kind = char_at(text, start).kind();
  if (kind == unicode::kSpace) return space_end(text, pos, false);
  return run_end(text, start, [kind](Char c, char) { return c.kind() == kind; });
}

void split_gpt2(std::string_view text, const EmitWord& emit) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = gpt2_word_end(text, pos);
    emit(text.substr(pos, end - pos));
    pos = end;
  }
}

bool is_mark(Char c) { return c.kind() == unicode::kOther && c.is(unicode::kUpper) && c.is(unicode::kLower); }

// U*L+ at `start`: L takes back what is in both sets, if U has taken all there is of it.
size_t upper_then_lower_end(std::string_view text, size_t start) {
  size_t lower_end = start;  // of the last character that is in L
  size_t pos = start;
  for (; pos < text.size(); pos += char_at(text, pos).num_bytes) {
    const Char c = char_at(text, pos);
    if (!c.is(unicode::kUpper)) break;
    if (c.is(unicode::kLower)) lower_end = pos + c.num_bytes;
  }
  const size_t end = run_end(text, pos, [](Char c, char) { return c.is(unicode::kLower); });
  return end > pos ? end : lower_end;
}

size_t upper_end(std::string_view text, size_t start) {
  return run_end(text, start, [](Char c, char) { return c.is(unicode::kUpper); });
}

// The two alternatives of a cased word, each first with the character before it and then without.
size_t cased_word_end(std::string_view text, size_t pos, size_t start) {
  if (const size_t end = upper_then_lower_end(text, start); end > start) return end;
  if (const size_t end = upper_then_lower_end(text, pos); end > pos) return end;
  if (const size_t end = upper_end(text, start); end > start) return end;
  return upper_end(text, pos);
}

// End of the letters at `pos` and the one character that may be before them; `pos` when there are none.
size_t letters_end(const PreTokenizer& rule, std::string_view text, size_t pos) {
  const Char first = char_at(text, pos);
  const bool is_prefix = first.kind() != unicode::kLetter && first.kind() != unicode::kNumber &&
                         text[pos] != '\r' && text[pos] != '\n';
  const size_t start = is_prefix ? pos + first.num_bytes : pos;
  if (rule.letters == Letters::kUpperThenLower) {
    const size_t end = cased_word_end(text, pos, start);
    const bool suffix = end > pos && rule.contractions == Contractions::kAnyCaseAfterWord;
    return suffix ? end + contraction_length(text, end, true) : end;
  }
  const bool with_marks = rule.letters == Letters::kWithMarks;
  const auto belongs = [=](Char c, char) {
    return c.kind() == unicode::kLetter || (with_marks && is_mark(c));
  };
  const size_t end = run_end(text, start, belongs);
  return end > start ? end : run_end(text, pos, belongs);
}

size_t number_end(const PreTokenizer& rule, std::string_view text, size_t pos) {
  for (size_t i = 0; i < rule.max_digits && pos < text.size(); ++i) {
    const Char c = char_at(text, pos);
    if (c.kind() != unicode::kNumber) break;
    pos += c.num_bytes;
  }
  return pos;
}

// Marks, with a space before them and line ends after them.
size_t marks_end(const PreTokenizer& rule, std::string_view text, size_t pos) {
  const bool with_marks = rule.letters == Letters::kWithMarks;
  const size_t start = text[pos] == ' ' ? pos + 1 : pos;
  const size_t end = run_end(
      text, start, [=](Char c, char) { return c.kind() == unicode::kOther && !(with_marks && is_mark(c)); });
  if (end == start) return pos;
  return std::min(text.find_first_not_of(rule.mark_tail, end), text.size());
}

size_t word_end(const PreTokenizer& rule, std::string_view text, size_t pos) {
  if (rule.contractions == Contractions::kAnyCase) {
    if (const size_t length = contraction_length(text, pos, true); length > 0) return pos + length;
  }
  for (const auto find_end : {letters_end, number_end, marks_end}) {
    if (const size_t end = find_end(rule, text, pos); end > pos) return end;
  }
  return space_end(text, pos, rule.line_ends);
}

// The regular expressions in which GPT-2's was developed further.
void split_newer(const PreTokenizer& rule, std::string_view text, const EmitWord& emit) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = word_end(rule, text, pos);
    emit(text.substr(pos, end - pos));
    pos = end;
  }
}

void split_digits(std::string_view text, const EmitWord& emit) {
  const auto is_digit = [](Char c, char) { return (c.flags & unicode::kDigit) != 0; };
  const auto emit_each = [&](std::string_view digits) {
    for (size_t pos = 0; pos < digits.size();) {
      const size_t length = char_at(digits, pos).num_bytes;
      emit(digits.substr(pos, length));
      pos += length;
    }
  };
  isolate(text, is_digit, emit_each, [&](std::string_view rest) { split_gpt2(rest, emit); });
}

// [0-9][0-9][0-9] from the left; what no triple covers stays together.
void split_by_three(std::string_view number, const EmitWord& emit) {
  const auto is_digit = [&](size_t pos) { return number[pos] >= '0' && number[pos] <= '9'; };
  size_t rest = 0;
  size_t pos = 0;
  while (pos + 3 <= number.size()) {
    if (is_digit(pos) && is_digit(pos + 1) && is_digit(pos + 2)) {
      if (pos > rest) emit(number.substr(rest, pos - rest));
      emit(number.substr(pos, 3));
      rest = pos += 3;
    } else {
      ++pos;
    }
  }
  if (rest < number.size()) emit(number.substr(rest));
}

void split_default(std::string_view text, const EmitWord& emit) {
  const auto is_cut = [](Char c, char first) {
    constexpr std::string_view kMarks = "$+<=>^~|";
    return (c.flags & unicode::kPunctuation) != 0 || kMarks.find(first) != std::string_view::npos;
  };
  const auto is_number = [](Char c, char) { return c.kind() == unicode::kNumber; };
  const EmitWord emit_number = [&](std::string_view number) { split_by_three(number, emit); };
  const EmitWord emit_word = [&](std::string_view word) { isolate(word, is_number, emit_number, emit); };
  isolate(text, is_cut, emit, [&](std::string_view rest) { split_gpt2(rest, emit_word); });
}

}  // namespace

void pre_tokenize(const PreTokenizer& rule, std::string_view text, const EmitWord& emit) {
  switch (rule.cut_first) {
    case CutFirst::kDigits:
      return split_digits(text, emit);
    case CutFirst::kPunctuationAndNumbers:
      return split_default(text, emit);
    case CutFirst::kNothing:
      return rule.letters == Letters::kAfterSpace ? split_gpt2(text, emit) : split_newer(rule, text, emit);
  }
}

}  // namespace phonelm
