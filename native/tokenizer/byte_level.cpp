#include "tokenizer/byte_level.h"

#include <array>
#include <optional>

#include "core/error.h"
#include "core/printable.h"
#include "tokenizer/merges.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/text_index.h"
#include "tokenizer/vocabulary_tokenizer.h"

namespace phonelm {
namespace {

constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr int32_t kNoToken = -1;

class ByteLevelTokenizer final : public VocabularyTokenizer {
 public:
  explicit ByteLevelTokenizer(const GgufFile& file);

 protected:
  void encode_text(std::string_view text, std::vector<int32_t>& tokens) const override;

 private:
  void read_merges(const GgufFile& file, const std::vector<std::string>& lines);
  void index_whole_words();
  // The word's tokens in `word_tokens`, which is overwritten.
  void encode_word(std::string_view word, std::vector<int32_t>& word_tokens) const;
  void merge_bytes(std::string_view word, std::vector<int32_t>& word_tokens) const;

  const PreTokenizer& pre_tokenizer_;
  MergeTable merges_;
  std::array<int32_t, 256> token_of_byte_;
  // Words that are one token, found without merging. Views of the vocabulary's bytes.
  TextIndex whole_words_;
};

[[noreturn]] void fail(const GgufFile& file, const std::string& problem) {
  throw Error(printable(file.path()) + ": " + problem);
}

const std::vector<std::string>& merge_lines(const GgufFile& file) {
  static const std::vector<std::string> none;
  const std::vector<std::string>* lines = file.get_strings(kMerges);
  return lines == nullptr ? none : *lines;
}

const PreTokenizer& read_pre_tokenizer(const GgufFile& file) {
  // Files from before there was such a key lack it; llama.cpp cuts as "default" then, and warns.
  const std::string* given = file.get_string("tokenizer.ggml.pre");
  const bool is_missing = given == nullptr || given->empty();
  const std::string_view name = is_missing ? "default" : std::string_view(*given);
  const PreTokenizer* rule = find_pre_tokenizer(name);
  if (rule == nullptr) {
    fail(file, "pre-tokenizer " + quoted(name) + " (tokenizer.ggml.pre) is not supported; these are: " +
                   pre_tokenizer_names() + ", and their other names");
  }
  return *rule;
}

ByteLevelTokenizer::ByteLevelTokenizer(const GgufFile& file)
    : VocabularyTokenizer(file, Spelling::kByteMapped),
      pre_tokenizer_(read_pre_tokenizer(file)),
      merges_(merge_lines(file).size()),
      whole_words_(static_cast<size_t>(vocabulary_.size())) {
  if (file.get_bool("tokenizer.ggml.add_space_prefix").value_or(false)) {
    fail(file,
         "tokenizer.ggml.add_space_prefix is not supported with byte-level BPE; convert the model again");
  }
  set_default_add_bos(file, pre_tokenizer_.add_bos);
  for (size_t byte = 0; byte < token_of_byte_.size(); ++byte) {
    token_of_byte_[byte] = vocabulary_.find_byte(static_cast<uint8_t>(byte)).value_or(kNoToken);
  }
  read_merges(file, merge_lines(file));
  index_whole_words();
}

void ByteLevelTokenizer::read_merges(const GgufFile& file, const std::vector<std::string>& lines) {
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    const auto problem = [&](const char* what) {
      fail(file, std::string(kMerges) + "[" + std::to_string(i) + "] " + quoted(line) + what +
                     "; convert the model again");
    };
    const size_t space = line.find(' ', 1);
    if (space == std::string_view::npos) problem(" is not two tokens with a space between");
    const std::string_view left_text = line.substr(0, space);
    const std::string_view right_text = line.substr(space + 1);
    const std::optional<int32_t> left = vocabulary_.find(left_text);
    const std::optional<int32_t> right = vocabulary_.find(right_text);
    const std::optional<int32_t> both = vocabulary_.find(std::string(left_text).append(right_text));
    if (!left || !right || !both) problem(" is of or makes a token that is not in tokenizer.ggml.tokens");
    if (!merges_.insert(*left, *right, {static_cast<uint32_t>(i), *both})) problem(" is there twice");
  }
}

// A token that other merges overtake on the way is never made of its own bytes, so each is tried, but where
// the pre-tokenizer's models take a word that is a token as it is.
void ByteLevelTokenizer::index_whole_words() {
  std::vector<int32_t> tokens;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_.kind(id) != TokenKind::kNormal) continue;
    if (!pre_tokenizer_.ignore_merges) merge_bytes(vocabulary_.bytes(id), tokens);
    if (pre_tokenizer_.ignore_merges || (tokens.size() == 1 && tokens[0] == id)) {
      whole_words_.insert(vocabulary_.bytes(id), id);
    }
  }
}

void ByteLevelTokenizer::merge_bytes(std::string_view word, std::vector<int32_t>& word_tokens) const {
  word_tokens.clear();
  for (const char c : word) {
    const int32_t token = token_of_byte_[static_cast<uint8_t>(c)];
    if (token != kNoToken) word_tokens.push_back(token);
  }
  merges_.apply(word_tokens);
}

void ByteLevelTokenizer::encode_word(std::string_view word, std::vector<int32_t>& word_tokens) const {
  if (const int32_t whole = whole_words_.find(word); whole != TextIndex::kNone) {
    word_tokens.assign(1, whole);
  } else {
    merge_bytes(word, word_tokens);
  }
}

void ByteLevelTokenizer::encode_text(std::string_view text, std::vector<int32_t>& tokens) const {
  std::string buffer;
  if (pre_tokenizer_.nfc) text = unicode::to_nfc(text, buffer);
  std::vector<int32_t> word_tokens;
  pre_tokenize(pre_tokenizer_, text, [&](std::string_view word) {
    encode_word(word, word_tokens);
    tokens.insert(tokens.end(), word_tokens.begin(), word_tokens.end());
  });
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_level(const GgufFile& file) {
  return std::make_unique<ByteLevelTokenizer>(file);
}

}  // namespace phonelm
