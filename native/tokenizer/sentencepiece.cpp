#include "tokenizer/sentencepiece.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/printable.h"
#include "tokenizer/pieces.h"
#include "tokenizer/text_index.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace phonelm {
namespace {

class SentencePieceTokenizer final : public VocabularyTokenizer {
 public:
  explicit SentencePieceTokenizer(const GgufFile& file);

 protected:
  void encode_text(std::string_view text, std::vector<int32_t>& tokens) const override;

 private:
  void read_spacing(const GgufFile& file);
  void strip_as_phi3(const GgufFile& file);
  void index_whole_words();

  Pieces pieces_;
  // Words that are one token, found without merging. Views of the vocabulary's bytes.
  TextIndex whole_words_;
};

SentencePieceTokenizer::SentencePieceTokenizer(const GgufFile& file)
    : VocabularyTokenizer(file, Spelling::kSpaceEscaped),
      pieces_(file, vocabulary_),
      whole_words_(static_cast<size_t>(vocabulary_.size())) {
  set_default_add_bos(file, true);
  read_spacing(file);
  strip_as_phi3(file);
  index_whole_words();
}

void SentencePieceTokenizer::read_spacing(const GgufFile& file) {
  add_space_prefix_ = file.get_bool("tokenizer.ggml.add_space_prefix").value_or(true);
  for (const char* key :
       {"tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.treat_whitespace_as_suffix"}) {
    if (!file.get_bool(key).value_or(false)) continue;
    throw Error(printable(file.path()) + ": " + key + " is not supported; use a model without it");
  }
}

// Phi-3's special tokens swallow white space; llama.cpp knows it without a key that says so.
void SentencePieceTokenizer::strip_as_phi3(const GgufFile& file) {
  const std::string* architecture = file.get_string("general.architecture");
  if (architecture == nullptr || *architecture != "phi3" || !drops_space_after_.empty()) return;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const std::string& text = vocabulary_.text(id);
    const bool swallows = vocabulary_.is_special(id) || text == "</s>";
    if (swallows && text != "<s>" && text != "<unk>" && text != "<|endoftext|>")
      drops_space_after_.insert(id);
  }
}

// A token that other merges overtake on the way is never made of its own text, so each is tried.
void SentencePieceTokenizer::index_whole_words() {
  std::vector<int32_t> tokens;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_.kind(id) != TokenKind::kNormal) continue;
    pieces_.merge(vocabulary_.bytes(id), tokens);
    if (tokens.size() == 1 && tokens[0] == id) whole_words_.insert(vocabulary_.bytes(id), id);
  }
}

// Where the word at `pos` ends: at a space that no piece joins to what is before it.
size_t word_end(const Pieces& pieces, std::string_view text, size_t pos) {
  size_t end = pos;
  do {
    end = text.find(' ', end + 1);
  } while (end < text.size() && pieces.joins_space(text.substr(pos, end - pos)));
  return std::min(end, text.size());
}

void SentencePieceTokenizer::encode_text(std::string_view text, std::vector<int32_t>& tokens) const {
  std::string spaced;
  if (add_space_prefix_) text = spaced.append(1, ' ').append(text);
  std::vector<int32_t> word_tokens;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = word_end(pieces_, text, pos);
    const std::string_view word = text.substr(pos, end - pos);
    if (const int32_t whole = whole_words_.find(word); whole != TextIndex::kNone) {
      tokens.push_back(whole);
    } else {
      pieces_.merge(word, word_tokens);
      tokens.insert(tokens.end(), word_tokens.begin(), word_tokens.end());
    }
    pos = end;
  }
}

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(const GgufFile& file) {
  return std::make_unique<SentencePieceTokenizer>(file);
}

}  // namespace phonelm
