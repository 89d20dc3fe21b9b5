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
// rule. Those of one rule stand together. Qwen's own tokenizer brings texts to form C first, which llama.cpp
// does for none.
constexpr Name kNames[] = {
    {"gpt-2", &kGpt2},
    {"phi-2", &kGpt2},
    {"mellum", &kGpt2},
    {"exaone4", &kGpt2},
    {"gigachat", &kGpt2},
    {"a.x-4.0", &kGpt2},
    {"trillion", &kGpt2},
    {"granite-docling", &kGpt2},
    {"olmo", &kGpt2},
    {"mpt", &kGpt2},
    {"jais", &kGpt2},
    {"modern-bert", &kGpt2},
    {"jina-es", &kGpt2},
    {"jina-de", &kGpt2},
    {"jina-v2-es", &kGpt2},
    {"jina-v2-de", &kGpt2},
    {"smollm", &kSmollm},
    {"starcoder", &kSmollm},
    {"refact", &kSmollm},
    {"command-r", &kSmollm},
    {"codeshell", &kSmollm},
    {"exaone", &kSmollm},
    {"minerva-7b", &kSmollm},
    {"mellum2", &kSmollm},
    {"default", &kDefault},
    {"llama-bpe", &kLlama3},
    {"llama3", &kLlama3},
    {"llama-v3", &kLlama3},
    {"falcon3", &kLlama3},
    {"falcon-h1", &kLlama3},
    {"pixtral", &kLlama3},
    {"midm-2.0", &kLlama3},
    {"lfm2", &kLlama3},
    {"jina-v5-nano", &kLlama3},
    {"dbrx", &kLlama3Words},
    {"smaug-bpe", &kLlama3Words},
    {"glm4", &kLlama3Words},
    {"chatglm-bpe", &kLlama3Words},
    {"qwen2", &kQwen2},
    {"qwen35", &kQwen35},
    {"deepseek-r1-qwen", &kQwenWords},
    {"megrez", &kQwenWords},
    {"kormo", &kQwenWords},
    {"f2llmv2", &kQwenWords},
    {"stablelm2", &kQwenWords},
    {"hunyuan", &kQwenWords},
    {"solar-open", &kQwenWords},
    {"grok-2", &kQwenWords},
    {"gpt-4o", &kGpt4o},
    {"llama4", &kGpt4o},
    {"kanana2", &kGpt4o},
    {"talkie", &kGpt4o},
    {"minimax-m2", &kGpt4o},
    {"tekken", &kTekken},
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
  const PreTokenizer* last = nullptr;
  for (const Name& known : kNames) {
    if (known.rule != last) names.append(names.empty() ? "" : ", ").append(known.name);
    last = known.rule;
  }
  return names;
}

std::string_view first_pre_tokenizer_name(std::string_view name) {
  const PreTokenizer* rule = find_pre_tokenizer(name);
  for (const Name& known : kNames) {
    if (known.rule == rule) return known.name;
  }
  return {};
}

}  // namespace phonelm
