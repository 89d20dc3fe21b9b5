#include "tokenizer/pretokenize.h"

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

// Length of 's 't 're 've 'm 'll 'd at `pos`, 0 when there is none.
size_t contraction_length(std::string_view text, size_t pos) {
  if (text[pos] != '\'' || pos + 1 == text.size()) return 0;
  const char next = text[pos + 1];
  if (next == 's' || next == 't' || next == 'm' || next == 'd') return 2;
  const std::string_view two = text.substr(pos + 1, 2);
  return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
}

// White space at `pos`: `\s+(?!\S)` leaves the last one to the word that follows, if one does.
size_t space_end(std::string_view text, size_t pos) {
  size_t last = pos;
  size_t end = pos;
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (c.kind() != unicode::kSpace) return last > pos ? last : end;
    last = end;
    end += c.num_bytes;
  }
  return end;
}

size_t gpt2_word_end(std::string_view text, size_t pos) {
  if (const size_t length = contraction_length(text, pos); length > 0) return pos + length;
  const size_t start = text[pos] == ' ' && pos + 1 < text.size() ? pos + 1 : pos;
  const unicode::Class kind = char_at(text, start).kind();
  if (kind == unicode::kSpace) return space_end(text, pos);
  return run_end(text, start, [kind](Char c, char) { return c.kind() == kind; });
}

void split_gpt2(std::string_view text, const EmitWord& emit) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = gpt2_word_end(text, pos);
    emit(text.substr(pos, end - pos));
    pos = end;
  }
}

void split_smollm(std::string_view text, const EmitWord& emit) {
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
  const auto is_mark = [](Char c, char first) {
    constexpr std::string_view kMarks = "$+<=>^~|";
    return (c.flags & unicode::kPunctuation) != 0 || kMarks.find(first) != std::string_view::npos;
  };
  const auto is_number = [](Char c, char) { return c.kind() == unicode::kNumber; };
  const EmitWord emit_number = [&](std::string_view number) { split_by_three(number, emit); };
  const EmitWord emit_word = [&](std::string_view word) { isolate(word, is_number, emit_number, emit); };
  isolate(text, is_mark, emit, [&](std::string_view rest) { split_gpt2(rest, emit_word); });
}

}  // namespace

std::optional<PreTokenizer> find_pre_tokenizer(std::string_view name) {
  if (name == "gpt-2") return PreTokenizer::kGpt2;
  if (name == "smollm") return PreTokenizer::kSmollm;
  if (name == "default") return PreTokenizer::kDefault;
  return std::nullopt;
}

void pre_tokenize(PreTokenizer rule, std::string_view text, const EmitWord& emit) {
  switch (rule) {
    case PreTokenizer::kGpt2:
      return split_gpt2(text, emit);
    case PreTokenizer::kSmollm:
      return split_smollm(text, emit);
    case PreTokenizer::kDefault:
      return split_default(text, emit);
  }
}

}  // namespace phonelm
