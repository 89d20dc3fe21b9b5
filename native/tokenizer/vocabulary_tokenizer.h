// What the tokenizers have in common: a vocabulary, and the tokens that are cut out of a text before the rest
// of it is encoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "gguf/gguf.h"
#include "tokenizer/special.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace phonelm {

class VocabularyTokenizer : public Tokenizer {
 public:
  VocabularyTokenizer(const GgufFile& file, Spelling spelling);

  std::vector<int32_t> encode(std::string_view text, bool parse_special) const override;
  std::vector<int32_t> encode_around(std::string_view text, std::span<const TextRange> plain) const override;
  std::vector<std::string> control_texts() const override;
  std::string token_bytes(int32_t token, bool with_special) const override;
  bool is_special(int32_t token) const override { return vocabulary_.is_special(checked(token)); }
  int32_t vocab_size() const override { return vocabulary_.size(); }

 protected:
  // Appends the tokens of a text without special tokens (not empty).
  virtual void encode_text(std::string_view text, std::vector<int32_t>& tokens) const = 0;
  // For a file that does not say whether a text begins with bos_id.
  void set_default_add_bos(const GgufFile& file, bool add_bos);

  Vocabulary vocabulary_;
  std::unordered_set<int32_t> drops_space_after_;  // special tokens that swallow the white space behind them

 private:
  void read_special_ids(const GgufFile& file);
  void read_stop_ids(const GgufFile& file);
  void index_special_tokens();
  template <class Find>
  std::vector<int32_t> encode_between(std::string_view text, const Find& find) const;
  SpecialMatcher::Match find_around(std::string_view text, size_t pos,
                                    std::span<const TextRange> plain) const;
  size_t resume_after(int32_t token, std::string_view text, size_t pos) const;
  int32_t checked(int32_t token) const;

  SpecialMatcher user_defined_;
  SpecialMatcher all_special_;
};

}  // namespace phonelm
