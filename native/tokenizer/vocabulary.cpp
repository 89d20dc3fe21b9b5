#include "tokenizer/vocabulary.h"

#include <limits>

#include "core/error.h"
#include "gguf/printable.h"

namespace phonelm {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kKinds = "tokenizer.ggml.token_type";

[[noreturn]] void fail(const GgufFile& file, const std::string& problem) {
  throw Error(printable(file.path()) + ": " + problem + "; convert the model again");
}

TokenKind kind_from_number(const GgufFile& file, size_t token, int64_t number) {
  if (number < 1 || number > 6) {
    fail(file, std::string(kKinds) + "[" + std::to_string(token) + "] is " + std::to_string(number) +
                   ", not a token type (1 to 6)");
  }
  return static_cast<TokenKind>(number);
}

}  // namespace

Vocabulary::Vocabulary(const GgufFile& file) {
  read_tokens(file);
  id_of_text_.reserve(tokens_.size());
  for (int32_t id = 0; id < size(); ++id) {
    const auto [place, is_new] = id_of_text_.try_emplace(text(id), id);
    if (!is_new) {
      fail(file, std::string(kTokens) + " has " + quoted(text(id)) + " twice (" +
                     std::to_string(place->second) + " and " + std::to_string(id) + ")");
    }
  }
}

void Vocabulary::read_tokens(const GgufFile& file) {
  const std::vector<std::string>* texts = file.get_strings(kTokens);
  if (texts == nullptr || texts->empty()) fail(file, std::string(kTokens) + " is missing or empty");
  if (texts->size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail(file, std::string(kTokens) + " has more than 2^31 tokens");
  }
  const std::vector<int64_t>* kinds = file.get_ints(kKinds);
  if (kinds != nullptr && kinds->size() != texts->size()) {
    fail(file, std::string(kKinds) + " has " + std::to_string(kinds->size()) + " entries for " +
                   std::to_string(texts->size()) + " tokens");
  }
  tokens_.reserve(texts->size());
  for (size_t i = 0; i < texts->size(); ++i) {
    const std::string& text = (*texts)[i];
    if (text.empty()) fail(file, std::string(kTokens) + "[" + std::to_string(i) + "] is empty");
    const TokenKind kind = kinds == nullptr ? TokenKind::kNormal : kind_from_number(file, i, (*kinds)[i]);
    const bool is_mapped = kind == TokenKind::kNormal || kind == TokenKind::kByte;
    tokens_.push_back({text, is_mapped ? byte_map_.bytes(text).value_or(text) : text, kind});
  }
}

bool Vocabulary::is_special(int32_t token) const {
  switch (kind(token)) {
    case TokenKind::kUnknown:
    case TokenKind::kControl:
    case TokenKind::kUnused:
      return true;
    case TokenKind::kNormal:
    case TokenKind::kUserDefined:
    case TokenKind::kByte:
      return false;
  }
  return false;
}

std::optional<int32_t> Vocabulary::find(std::string_view text) const {
  const auto place = id_of_text_.find(text);
  return place == id_of_text_.end() ? std::nullopt : std::optional(place->second);
}

std::optional<int32_t> Vocabulary::find_byte(uint8_t byte) const {
  const std::optional<int32_t> token = find(byte_map_.text(byte));
  return token && !is_special(*token) ? token : std::nullopt;
}

std::optional<int32_t> Vocabulary::special_id(const GgufFile& file, std::string_view key) const {
  const std::optional<int64_t> id = file.get_int(key);
  if (!id) return std::nullopt;
  if (*id < 0 || *id >= size()) {
    fail(file, std::string(key) + " is " + std::to_string(*id) + ", outside the vocabulary of " +
                   std::to_string(size()) + " tokens");
  }
  return static_cast<int32_t>(*id);
}

}  // namespace phonelm
