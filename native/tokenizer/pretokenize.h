// Pre-tokenizers: rules that cut text into words before any merge, so that no token crosses a word's border.
// They are the regular expressions of the models' tokenizers, written as what these have in common: a few
// kinds of words, each with its variants. One pass, no backtracking beyond a run of characters.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace phonelm {

// 's 't 're 've 'm 'll 'd
enum class Contractions { kNone, kLowerCase, kAnyCase, kAnyCaseAfterWord };

enum class Letters {
  kAfterSpace,      //  ?\p{L}+
  kAfterAny,        // [^\r\n\p{L}\p{N}]?\p{L}+
  kWithMarks,       // [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+
  kUpperThenLower,  // as kAfterAny, U*L+ or U+L*, U: [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], L:
                    // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
};

// What is cut out first; the words are looked for in what lies between.
enum class CutFirst {
  kNothing,
  kDigits,                 // each digit alone
  kPunctuationAndNumbers,  // llama.cpp's default: punctuation runs; and number runs, digits by three, of
                           // words
};

struct PreTokenizer {
  CutFirst cut_first = CutFirst::kNothing;
  Contractions contractions = Contractions::kLowerCase;
  Letters letters = Letters::kAfterSpace;
  size_t max_digits = 0;            // \p{N}{1,max_digits}; 0:  ?\p{N}+
  std::string_view mark_tail = {};  // what may follow marks:  ?[^\s\p{L}\p{N}]+[tail]*
  bool line_ends = false;           // \s*[\r\n]+ before \s+(?!\S)|\s+
  // The text is brought to Unicode's form C first.
  bool nfc = false;
  // A word that is a token becomes that token, whatever its merges make of it.
  bool ignore_merges = false;
  // A text begins with bos_id where the file does not say otherwise.
  bool add_bos = false;
};

// Named as in the key `tokenizer.ggml.pre`; nullptr when unknown. It lives as long as the program.
const PreTokenizer* find_pre_tokenizer(std::string_view name);
// One name of each rule, with commas between.
std::string pre_tokenizer_names();
// The first name of the rule that has this name; empty when unknown.
std::string_view first_pre_tokenizer_name(std::string_view name);

using EmitWord = std::function<void(std::string_view)>;

// Calls `emit` with one word after another; together they are the text.
void pre_tokenize(const PreTokenizer& rule, std::string_view text, const EmitWord& emit);

}  // namespace phonelm
