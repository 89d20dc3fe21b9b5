#include "tokenizer/vocabulary.h"

#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "core/printable.h"
#include "tokenizer/unicode.h"

namespace phonelm {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kKinds = "tokenizer.ggml.token_type";

// The longest there is in models has 1024. Bounds the time to look at all ways to cut a token in two.
constexpr size_t kMaxTokenBytes = 2048;

// "No such token", as llama.cpp writes its LLAMA_TOKEN_NULL: -1, in as many bits as the value has.
bool is_none(const MetaValue& value) {
  if (const auto* wide = std::get_if<uint64_t>(&value)) return *wide == std::numeric_limits<uint64_t>::max();
  const auto* id = std::get_if<int64_t>(&value);
  return id && (*id == -1 || *id == std::numeric_limits<uint32_t>::max());
}

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

bool is_utf8(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const unicode::CodePoint c = unicode::decode(text, pos);
    if (!c.valid) return false;
    pos += c.num_bytes;
  }
  return true;
}

// The text of the token of a byte that is part of no token's characters.
std::string hex_text(uint8_t byte) {
  constexpr char kHex[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
}

std::optional<uint8_t> byte_of_hex_text(std::string_view text) {
  if (text.size() != 6) return std::nullopt;
  unsigned byte = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  const bool is_number = error == std::errc() && end == text.data() + 5;
  if (!is_number || text != hex_text(static_cast<uint8_t>(byte))) return std::nullopt;
  return static_cast<uint8_t>(byte);
}

std::string unescaped(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const size_t end = text.find(kEscapedSpace);
    bytes += text.substr(0, end);
    if (end == std::string_view::npos) break;
    bytes += ' ';
    text.remove_prefix(end + kEscapedSpace.size());
  }
  return bytes;
}

// What a normal or a byte token stands for; nullopt: a byte token that names no byte.
std::optional<std::string> spelled_out(const std::string& text, TokenKind kind, Spelling spelling,
                                       const ByteMap& byte_map) {
  if (spelling == Spelling::kByteMapped) return byte_map.bytes(text).value_or(text);
  if (kind == TokenKind::kNormal) return unescaped(text);
  const std::optional<uint8_t> byte = byte_of_hex_text(text);
  return byte ? std::optional(std::string(1, static_cast<char>(*byte))) : std::nullopt;
}

}  // namespace

Vocabulary::Vocabulary(const GgufFile& file, Spelling spelling) : spelling_(spelling) {
  read_tokens(file);
  index_texts(file);
}

void Vocabulary::index_texts(const GgufFile& file) {
  id_of_text_ = TextIndex(tokens_.size());
  for (int32_t id = 0; id < size(); ++id) {
    const int32_t other = id_of_text_.insert(text(id), id);
    if (other == TextIndex::kNone) continue;
    fail(file, std::string(kTokens) + " has " + quoted(text(id)) + " twice (" + std::to_string(other) +
                   " and " + std::to_string(id) + ")");
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
    const auto problem = [&](const char* what) {
      fail(file, std::string(kTokens) + "[" + std::to_string(i) + "] " + what);
    };
    if (text.empty()) problem("is empty");
    if (text.size() > kMaxTokenBytes) problem("is longer than 2048 bytes");
    if (!is_utf8(text)) problem("is not UTF-8");
    const TokenKind kind = kinds == nullptr ? TokenKind::kNormal : kind_from_number(file, i, (*kinds)[i]);
    const bool is_plain = kind == TokenKind::kNormal || kind == TokenKind::kByte;
    std::optional<std::string> bytes = is_plain ? spelled_out(text, kind, spelling_, byte_map_) : text;
    if (!bytes) problem("is a byte token but not of the form <0x0A>");
    tokens_.push_back({text, std::move(*bytes), kind});
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
  const int32_t token = id_of_text_.find(text);
  return token == TextIndex::kNone ? std::nullopt : std::optional(token);
}

std::optional<int32_t> Vocabulary::find_byte(uint8_t byte) const {
  if (spelling_ == Spelling::kByteMapped) {
    const std::optional<int32_t> token = find(byte_map_.text(byte));
    return token && !is_special(*token) ? token : std::nullopt;
  }
  const std::optional<int32_t> token = find(hex_text(byte));
  if (token && kind(*token) == TokenKind::kByte) return token;
  // Gemma has a character where the byte's token should be.
  const char character = static_cast<char>(byte);
  return byte < 0x80 ? find(std::string_view(&character, 1)) : std::nullopt;
}

std::optional<int32_t> Vocabulary::special_id(const GgufFile& file, std::string_view key) const {
  const auto value = file.metadata().find(std::string(key));
  if (value == file.metadata().end() || is_none(value->second)) return std::nullopt;
  const std::optional<int64_t> id = file.get_int(key);
  if (*id < 0 || *id >= size()) {
    fail(file, std::string(key) + " is " + std::to_string(*id) + ", outside the vocabulary of " +
                   std::to_string(size()) + " tokens");
  }
  return static_cast<int32_t>(*id);
}

}  // namespace phonelm
