// Pre-tokenizers: rules that cut text into words before any merge, so that no token crosses a word's border.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

namespace phonelm {

enum class PreTokenizer {
  kGpt2,     // GPT-2's regex: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kSmollm,   // each digit alone, then GPT-2's regex on what lies between
  kDefault,  // llama.cpp's: punctuation runs, GPT-2's regex, number runs, then digits by three
};

// Named as in the key `tokenizer.ggml.pre`; nullopt when unknown.
std::optional<PreTokenizer> find_pre_tokenizer(std::string_view name);

using EmitWord = std::function<void(std::string_view)>;

// Calls `emit` with one word after another; together they are the text.
void pre_tokenize(PreTokenizer rule, std::string_view text, const EmitWord& emit);

}  // namespace phonelm
