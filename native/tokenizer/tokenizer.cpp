#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "core/error.h"
#include "gguf/printable.h"
#include "tokenizer/merges.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/special.h"
#include "tokenizer/vocabulary.h"

namespace phonelm {
namespace {

constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr int32_t kNoToken = -1;

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(const GgufFile& file);

  std::vector<int32_t> encode(std::string_view text, bool parse_special) const override;
  std::string token_bytes(int32_t token, bool with_special) const override;
  bool is_special(int32_t token) const override { return vocabulary_.is_special(checked(token)); }
  int32_t vocab_size() const override { return vocabulary_.size(); }

 private:
  void read_merges(const GgufFile& file, const std::vector<std::string>& lines);
  void read_special_ids(const GgufFile& file);
  void index_special_tokens();
  void index_whole_words();
  void encode_text(std::string_view text, std::vector<int32_t>& tokens) const;
  // The word's tokens in `word_tokens`, which is overwritten.
  void encode_word(std::string_view word, std::vector<int32_t>& word_tokens) const;
  int32_t checked(int32_t token) const;

  Vocabulary vocabulary_;
  PreTokenizer pre_tokenizer_ = PreTokenizer::kDefault;
  MergeTable merges_;
  std::array<int32_t, 256> token_of_byte_;
  // Words that merge into one token, found without merging. Views of the vocabulary's bytes.
  std::unordered_map<std::string_view, int32_t> whole_words_;
  SpecialMatcher user_defined_;
  SpecialMatcher user_defined_and_control_;
};

[[noreturn]] void fail(const GgufFile& file, const std::string& problem) {
  throw Error(printable(file.path()) + ": " + problem);
}

const std::vector<std::string>& merge_lines(const GgufFile& file) {
  static const std::vector<std::string> none;
  const std::vector<std::string>* lines = file.get_strings(kMerges);
  return lines == nullptr ? none : *lines;
}

PreTokenizer read_pre_tokenizer(const GgufFile& file) {
  const std::string* name = file.get_string("tokenizer.ggml.pre");
  if (name == nullptr) return PreTokenizer::kDefault;
  const std::optional<PreTokenizer> rule = find_pre_tokenizer(*name);
  if (!rule) {
    fail(file, "pre-tokenizer " + quoted(*name) +
                   " (tokenizer.ggml.pre) is not supported (gpt-2, smollm and default are)");
  }
  return *rule;
}

BpeTokenizer::BpeTokenizer(const GgufFile& file)
    : vocabulary_(file), pre_tokenizer_(read_pre_tokenizer(file)), merges_(merge_lines(file).size()) {
  for (size_t byte = 0; byte < token_of_byte_.size(); ++byte) {
    token_of_byte_[byte] = vocabulary_.find_byte(static_cast<uint8_t>(byte)).value_or(kNoToken);
  }
  read_merges(file, merge_lines(file));
  read_special_ids(file);
  index_special_tokens();
  index_whole_words();
}

void BpeTokenizer::read_merges(const GgufFile& file, const std::vector<std::string>& lines) {
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

void BpeTokenizer::read_special_ids(const GgufFile& file) {
  const auto id = [&](const char* key) { return vocabulary_.special_id(file, key).value_or(-1); };
  bos_id_ = id("tokenizer.ggml.bos_token_id");
  eos_id_ = id("tokenizer.ggml.eos_token_id");
  add_bos_ = file.get_bool("tokenizer.ggml.add_bos_token").value_or(false);
  if (add_bos_ && bos_id_ < 0) {
    fail(file, "tokenizer.ggml.add_bos_token is set but there is no tokenizer.ggml.bos_token_id");
  }
  id("tokenizer.ggml.unknown_token_id");  // unused here, but a wrong one is a broken file
  id("tokenizer.ggml.padding_token_id");

  const auto add_stop = [&](int32_t token) {
    const bool is_new = std::find(stop_ids_.begin(), stop_ids_.end(), token) == stop_ids_.end();
    if (token >= 0 && is_new) stop_ids_.push_back(token);
  };
  add_stop(eos_id_);
  add_stop(id("tokenizer.ggml.eot_token_id"));
  for (const char* name : {"<|endoftext|>", "<|im_end|>", "</s>", "<|eot_id|>", "<|end|>"}) {
    add_stop(vocabulary_.find(name).value_or(-1));
  }
}

void BpeTokenizer::index_special_tokens() {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const TokenKind kind = vocabulary_.kind(id);
    if (kind == TokenKind::kUserDefined) user_defined_.add(vocabulary_.text(id), id);
    if (kind == TokenKind::kUserDefined || kind == TokenKind::kControl) {
      user_defined_and_control_.add(vocabulary_.text(id), id);
    }
  }
}

// A token that other merges overtake on the way is never made of its own bytes, so each is tried.
void BpeTokenizer::index_whole_words() {
  std::vector<int32_t> tokens;
  whole_words_.reserve(static_cast<size_t>(vocabulary_.size()));
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_.kind(id) != TokenKind::kNormal) continue;
    encode_word(vocabulary_.bytes(id), tokens);
    if (tokens.size() == 1 && tokens[0] == id) whole_words_.emplace(vocabulary_.bytes(id), id);
  }
}

void BpeTokenizer::encode_word(std::string_view word, std::vector<int32_t>& word_tokens) const {
  word_tokens.clear();
  if (const auto whole = whole_words_.find(word); whole != whole_words_.end()) {
    word_tokens.push_back(whole->second);
    return;
  }
  for (const char c : word) {
    const int32_t token = token_of_byte_[static_cast<uint8_t>(c)];
    if (token != kNoToken) word_tokens.push_back(token);
  }
  merges_.apply(word_tokens);
}

void BpeTokenizer::encode_text(std::string_view text, std::vector<int32_t>& tokens) const {
  std::vector<int32_t> word_tokens;
  pre_tokenize(pre_tokenizer_, text, [&](std::string_view word) {
    encode_word(word, word_tokens);
    tokens.insert(tokens.end(), word_tokens.begin(), word_tokens.end());
  });
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, bool parse_special) const {
  const SpecialMatcher& matcher = parse_special ? user_defined_and_control_ : user_defined_;
  std::vector<int32_t> tokens;
  for (size_t pos = 0; pos < text.size();) {
    const SpecialMatcher::Match match = matcher.find(text, pos);
    encode_text(text.substr(pos, match.begin - pos), tokens);
    if (match.length > 0) tokens.push_back(match.token);
    pos = match.begin + match.length;
  }
  return tokens;
}

int32_t BpeTokenizer::checked(int32_t token) const {
  if (token < 0 || token >= vocabulary_.size()) {
    throw Error("token " + std::to_string(token) + " is outside the vocabulary of " +
                std::to_string(vocabulary_.size()) + " tokens; were the ids made by another tokenizer?");
  }
  return token;
}

std::string BpeTokenizer::token_bytes(int32_t token, bool with_special) const {
  return with_special || !is_special(token) ? vocabulary_.bytes(checked(token)) : std::string();
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  const std::string* model = file.get_string("tokenizer.ggml.model");
  if (model == nullptr) fail(file, "tokenizer.ggml.model is missing; use a file with a tokenizer");
  if (*model != "gpt2") {
    fail(file, "tokenizer model " + quoted(*model) + " is not supported (gpt2, which is byte-level BPE, is)");
  }
  return std::make_unique<BpeTokenizer>(file);
}

std::string Tokenizer::decode(std::span<const int32_t> tokens, bool with_special) const {
  std::string bytes;
  for (const int32_t token : tokens) bytes += token_bytes(token, with_special);
  return bytes;
}

}  // namespace phonelm
