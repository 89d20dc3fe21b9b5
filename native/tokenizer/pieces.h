// The pieces of a SentencePiece vocabulary that text is merged into, and how.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "gguf/gguf.h"
#include "tokenizer/merges.h"
#include "tokenizer/vocabulary.h"

namespace phonelm {

// Only normal tokens are pieces: no text becomes a control token by merging. A piece with a character that is
// not itself a token is never made, as in Hugging Face's BPE.
class Pieces {
 public:
  // Throws Error: scores that are missing, not numbers or of another count than the tokens; some but not all
  // byte tokens; neither byte tokens nor an unknown token. The vocabulary outlives the pieces.
  Pieces(const GgufFile& file, const Vocabulary& vocabulary);

  // The tokens of a text in `tokens`, which is overwritten. Spaces may be escaped or not.
  void merge(std::string_view text, std::vector<int32_t>& tokens) const;
  // Whether a piece may hold the character at the end of `before` and a space after it: if not, a text can be
  // cut there.
  bool joins_space(std::string_view before) const;

 private:
  void read_fallback(const GgufFile& file);
  void read_merges(const std::vector<uint32_t>& ranks);
  void read_joints();
  int32_t find_piece(std::string_view text) const;
  void append_character(std::string_view character, std::vector<int32_t>& tokens) const;

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  std::array<int32_t, 128> token_of_ascii_;
  std::array<int32_t, 256> token_of_byte_;  // kNoPiece in all or in none
  int32_t unknown_ = -1;
  std::unordered_set<char32_t> joins_space_;
};

}  // namespace phonelm
