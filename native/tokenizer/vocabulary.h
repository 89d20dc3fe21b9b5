// The vocabulary of a GGUF file, checked: texts, kinds and bytes of the tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"
#include "tokenizer/byte_map.h"
#include "tokenizer/text_index.h"

namespace phonelm {

// Numbers as in llama.cpp's `enum llama_token_type`.
enum class TokenKind : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// How the texts of normal tokens are written.
enum class Spelling {
  kByteMapped,    // each byte as a printable character (byte_map.h)
  kSpaceEscaped,  // spaces as U+2581, and bytes that are no character as tokens `<0xXX>`
};

inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";

class Vocabulary {
 public:
  // Throws Error: no tokens, doubles, holes (empty texts), texts that are not UTF-8, kinds that do not match
  // the tokens.
  Vocabulary(const GgufFile& file, Spelling spelling);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
  // As written in the file.
  const std::string& text(int32_t token) const { return tokens_[static_cast<size_t>(token)].text; }
  // What the token stands for in the text; special and user-defined tokens are written as they are.
  const std::string& bytes(int32_t token) const { return tokens_[static_cast<size_t>(token)].bytes; }
  TokenKind kind(int32_t token) const { return tokens_[static_cast<size_t>(token)].kind; }
  // Not part of any text: control, unknown and unused tokens.
  bool is_special(int32_t token) const;

  std::optional<int32_t> find(std::string_view text) const;
  // The token of one byte; nullopt when the vocabulary has none.
  std::optional<int32_t> find_byte(uint8_t byte) const;

  // A token id under a metadata key, nullopt when absent or "none" (-1); Error when it is no token's.
  std::optional<int32_t> special_id(const GgufFile& file, std::string_view key) const;

 private:
  struct Token {
    std::string text;
    std::string bytes;
    TokenKind kind;
  };
  void read_tokens(const GgufFile& file);
  void index_texts(const GgufFile& file);

  Spelling spelling_;
  ByteMap byte_map_;
  std::vector<Token> tokens_;
  TextIndex id_of_text_{0};
};

}  // namespace phonelm
