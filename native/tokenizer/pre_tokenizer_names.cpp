#include "tokenizer/pretokenize.h"

namespace phonelm {
namespace {

constexpr PreTokenizer kGpt2;
constexpr PreTokenizer kSmollm{.cut_first = CutFirst::kDigits};
constexpr PreTokenizer kDefault{.cut_first = CutFirst::kPunctuationAndNumbers};
// tiktoken's cl100k_base.
constexpr PreTokenizer kLlama3Words{.contractions = Contractions::kAnyCase,
                                    .letters = Letters::kAfterAny,
                                    .max_digits = 3,
                                    .mark_tail = "\r\n",
                                    .line_ends = true};
constexpr PreTokenizer kLlama3 = [] {
  PreTokenizer rule = kLlama3Words;
  rule.ignore_merges = rule.add_bos = true;
  return rule;
}();
constexpr PreTokenizer kQwenWords = [] {
  PreTokenizer rule = kLlama3Words;
  rule.max_digits = 1;
  return rule;
}();
constexpr PreTokenizer kQwen2 = [] {
  PreTokenizer rule = kQwenWords;
  rule.nfc = true;
  return rule;
}();
constexpr PreTokenizer kQwen35 = [] {
  PreTokenizer rule = kQwenWords;
  rule.letters = Letters::kWithMarks;
  return rule;
}();
// tiktoken's o200k_base.
constexpr PreTokenizer kGpt4o{.contractions = Contractions::kAnyCaseAfterWord,
                              .letters = Letters::kUpperThenLower,
                              .max_digits = 3,
                              .mark_tail = "\r\n/",
                              .line_ends = true};
constexpr PreTokenizer kTekken = [] {
  PreTokenizer rule = kGpt4o;
  rule.contractions = Contractions::kNone;
  rule.max_digits = 1;
  rule.ignore_merges = rule.add_bos = true;
  return rule;
}();

struct Name {
  std::string_view name;
  const PreTokenizer* rule;
};

// llama.cpp's names (src/llama-vocab.cpp); a model that came later often has a name of its own for an old
// rule.
constexpr Name kNames[] = {
    {"gpt-2", &kGpt2},       {"phi-2", &kGpt2},       {"smollm", &kSmollm},
    {"starcoder", &kSmollm}, {"refact", &kSmollm},    {"default", &kDefault},
    {"llama-bpe", &kLlama3}, {"llama3", &kLlama3},    {"llama-v3", &kLlama3},
    {"falcon3", &kLlama3},   {"dbrx", &kLlama3Words}, {"smaug-bpe", &kLlama3Words},
    {"qwen2", &kQwen2},      {"qwen35", &kQwen35},    {"deepseek-r1-qwen", &kQwenWords},
    {"gpt-4o", &kGpt4o},     {"llama4", &kGpt4o},     {"tekken", &kTekken},
};

}  // namespace

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  for (const Name& known : kNames) {
    if (known.name == name) return known.rule;
  }
  return nullptr;
}

std::string pre_tokenizer_names() {
  std::string names;
  for (const Name& known : kNames) names.append(names.empty() ? "" : ", ").append(known.name);
  return names;
}

}  // namespace phonelm
