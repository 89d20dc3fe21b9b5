#include "tokenizer/vocabulary_tokenizer.h"

#include <algorithm>

#include "core/error.h"
#include "core/printable.h"
#include "tokenizer/unicode.h"

namespace phonelm {
namespace {

constexpr const char* kAddBos = "tokenizer.ggml.add_bos_token";
constexpr const char* kStripping = "phonelm.tokenizer.rstrip_token_ids";
// Ends beyond the three that GGUF has keys for.
constexpr const char* kMoreStops = "phonelm.tokenizer.stop_token_ids";
constexpr const char* kAddEos = "tokenizer.ggml.add_eos_token";

// End of a text or of a turn in the model families there are; the list of llama.cpp is longer.
constexpr const char* kStopNames[] = {
    "<|endoftext|>", "<|im_end|>",      "</s>",  "<|eot_id|>", "<|end|>",    "<end_of_turn>",
    "<|eom_id|>",    "<|end_of_text|>", "<EOT>", "<turn|>",    "<|return|>", "<end_of_utterance>",
};

[[noreturn]] void fail(const GgufFile& file, const std::string& problem) {
  throw Error(printable(file.path()) + ": " + problem + "; convert the model again");
}

// The tokens of a key of our own; none where the file does not have it.
std::vector<int32_t> read_ids(const GgufFile& file, const char* key, int32_t vocab_size) {
  std::vector<int32_t> ids;
  const std::vector<int64_t>* values = file.get_ints(key);
  if (values == nullptr) return ids;
  for (const int64_t id : *values) {
    if (id < 0 || id >= vocab_size) {
      fail(file, std::string(key) + " has " + std::to_string(id) + ", which is no token");
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace

VocabularyTokenizer::VocabularyTokenizer(const GgufFile& file, Spelling spelling)
    : vocabulary_(file, spelling) {
  read_special_ids(file);
  read_stop_ids(file);
  for (const int32_t id : read_ids(file, kStripping, vocabulary_.size())) drops_space_after_.insert(id);
  index_special_tokens();
}

void VocabularyTokenizer::read_special_ids(const GgufFile& file) {
  const auto id = [&](const char* key) { return vocabulary_.special_id(file, key).value_or(-1); };
  bos_id_ = id("tokenizer.ggml.bos_token_id");
  eos_id_ = id("tokenizer.ggml.eos_token_id");
  add_bos_ = file.get_bool(kAddBos).value_or(false);
  add_eos_ = file.get_bool(kAddEos).value_or(false);
  if (add_bos_ && bos_id_ < 0) {
    fail(file, std::string(kAddBos) + " is set but there is no tokenizer.ggml.bos_token_id");
  }
  if (add_eos_ && eos_id_ < 0) {
    fail(file, std::string(kAddEos) + " is set but there is no tokenizer.ggml.eos_token_id");
  }
  id("tokenizer.ggml.unknown_token_id");  // not used by all, but a wrong one is a broken file
  id("tokenizer.ggml.padding_token_id");
}

void VocabularyTokenizer::set_default_add_bos(const GgufFile& file, bool add_bos) {
  if (!file.get_bool(kAddBos)) add_bos_ = add_bos && bos_id_ >= 0;
}

void VocabularyTokenizer::read_stop_ids(const GgufFile& file) {
  const auto add_stop = [&](int32_t token) {
    const bool is_new = std::find(stop_ids_.begin(), stop_ids_.end(), token) == stop_ids_.end();
    if (token >= 0 && is_new) stop_ids_.push_back(token);
  };
  add_stop(eos_id_);
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    add_stop(vocabulary_.special_id(file, key).value_or(-1));
  }
  for (const int32_t id : read_ids(file, kMoreStops, vocabulary_.size())) add_stop(id);
  for (const std::string_view name : kStopNames) {
    const int32_t token = vocabulary_.find(name).value_or(-1);
    // Gemma has </s> as a tag of HTML. The others are sometimes not marked as special by mistake.
    if (token >= 0 && (name != "</s>" || vocabulary_.is_special(token))) add_stop(token);
  }
}

void VocabularyTokenizer::index_special_tokens() {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const TokenKind kind = vocabulary_.kind(id);
    if (kind == TokenKind::kUserDefined) user_defined_.add(vocabulary_.text(id), id);
    if (kind == TokenKind::kUserDefined || kind == TokenKind::kControl || kind == TokenKind::kUnknown) {
      all_special_.add(vocabulary_.text(id), id);
    }
  }
}

std::vector<int32_t> VocabularyTokenizer::encode(std::string_view text, bool parse_special) const {
  const SpecialMatcher& matcher = parse_special ? all_special_ : user_defined_;
  return encode_between(text, [&](size_t pos) { return matcher.find(text, pos); });
}

std::vector<int32_t> VocabularyTokenizer::encode_around(std::string_view text,
                                                        std::span<const TextRange> plain) const {
  return encode_between(text, [&](size_t pos) { return find_around(text, pos, plain); });
}

std::vector<std::string> VocabularyTokenizer::control_texts() const {
  std::vector<std::string> texts;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const TokenKind kind = vocabulary_.kind(id);
    if (kind == TokenKind::kControl || kind == TokenKind::kUnknown) texts.emplace_back(vocabulary_.text(id));
  }
  return texts;
}

// As SpecialMatcher::find, where only user-defined tokens may have a byte in `plain`.
SpecialMatcher::Match VocabularyTokenizer::find_around(std::string_view text, size_t pos,
                                                       std::span<const TextRange> plain) const {
  for (; pos < text.size(); ++pos) {
    const auto next = std::ranges::partition_point(plain, [&](TextRange range) { return range.end <= pos; });
    const size_t limit = next == plain.end() ? text.size() : next->begin;
    const SpecialMatcher::Match user_defined = user_defined_.match_at(text, pos);
    const SpecialMatcher::Match any = all_special_.match_at(text.substr(0, limit), pos);
    const SpecialMatcher::Match match = any.length > user_defined.length ? any : user_defined;
    if (match.length > 0) return match;
  }
  return {text.size(), 0, -1};
}

// `find` returns the first token to cut out at or after a place.
template <class Find>
std::vector<int32_t> VocabularyTokenizer::encode_between(std::string_view text, const Find& find) const {
  std::vector<int32_t> tokens;
  for (size_t pos = 0; pos < text.size();) {
    const SpecialMatcher::Match match = find(pos);
    if (match.begin > pos) encode_text(text.substr(pos, match.begin - pos), tokens);
    pos = match.begin + match.length;
    if (match.length > 0) {
      tokens.push_back(match.token);
      pos = resume_after(match.token, text, pos);
    }
  }
  return tokens;
}

// Where the text continues after a special token that ends at `pos`.
size_t VocabularyTokenizer::resume_after(int32_t token, std::string_view text, size_t pos) const {
  if (!drops_space_after_.contains(token)) return pos;
  while (pos < text.size()) {
    const unicode::Char c = unicode::char_at(text, pos);
    if (c.kind() != unicode::kSpace) break;
    pos += c.num_bytes;
  }
  return pos;
}

int32_t VocabularyTokenizer::checked(int32_t token) const {
  if (token < 0 || token >= vocabulary_.size()) {
    throw Error("token " + std::to_string(token) + " is outside the vocabulary of " +
                std::to_string(vocabulary_.size()) + " tokens; were the ids made by another tokenizer?");
  }
  return token;
}

std::string VocabularyTokenizer::token_bytes(int32_t token, bool with_special) const {
  return with_special || !is_special(token) ? vocabulary_.bytes(checked(token)) : std::string();
}

}  // namespace phonelm
