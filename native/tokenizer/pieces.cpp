#include "tokenizer/pieces.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/printable.h"
#include "tokenizer/unicode.h"

namespace phonelm {
namespace {

constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr int32_t kNoPiece = -1;

[[noreturn]] void fail(const GgufFile& file, const std::string& problem) {
  throw Error(printable(file.path()) + ": " + problem + "; convert the model again");
}

const std::vector<double>& read_scores(const GgufFile& file, int32_t num_tokens) {
  const std::vector<double>* scores = file.get_floats(kScores);
  if (scores == nullptr) fail(file, std::string(kScores) + " is missing");
  if (scores->size() != static_cast<size_t>(num_tokens)) {
    fail(file, std::string(kScores) + " has " + std::to_string(scores->size()) + " entries for " +
                   std::to_string(num_tokens) + " tokens");
  }
  for (size_t i = 0; i < scores->size(); ++i) {
    if (!std::isfinite((*scores)[i]))
      fail(file, std::string(kScores) + "[" + std::to_string(i) + "] is not finite");
  }
  return *scores;
}

// The higher the score, the lower the rank; equal scores have equal ranks.
std::vector<uint32_t> ranks_of(const std::vector<double>& scores) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  std::vector<uint32_t> ranks(scores.size());
  for (size_t i = 1; i < order.size(); ++i) {
    ranks[order[i]] = ranks[order[i - 1]] + (scores[order[i]] < scores[order[i - 1]] ? 1 : 0);
  }
  return ranks;
}

// The character that ends at the end of `text`; 0 when its last bytes are none.
char32_t last_character(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(4, text.size()); ++length) {
    const unicode::CodePoint c = unicode::decode(text, text.size() - length);
    if (c.valid) return c.num_bytes == length ? c.value : 0;
  }
  return 0;
}

}  // namespace

Pieces::Pieces(const GgufFile& file, const Vocabulary& vocabulary) : vocabulary_(vocabulary), merges_(0) {
  const std::vector<uint32_t> ranks = ranks_of(read_scores(file, vocabulary.size()));
  read_fallback(file);
  for (size_t c = 0; c < token_of_ascii_.size(); ++c) {
    const char character = static_cast<char>(c);
    token_of_ascii_[c] = find_piece(c == ' ' ? kEscapedSpace : std::string_view(&character, 1));
  }
  read_merges(ranks);
  read_joints();
}

void Pieces::read_fallback(const GgufFile& file) {
  token_of_byte_.fill(kNoPiece);
  bool has_bytes = false;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) has_bytes |= vocabulary_.kind(id) == TokenKind::kByte;
  for (size_t byte = 0; has_bytes && byte < token_of_byte_.size(); ++byte) {
    const std::optional<int32_t> token = vocabulary_.find_byte(static_cast<uint8_t>(byte));
    if (!token) {
      fail(file, "tokenizer.ggml.tokens has byte tokens but not that of byte " + std::to_string(byte));
    }
    token_of_byte_[byte] = *token;
  }
  if (has_bytes) return;
  unknown_ = vocabulary_.special_id(file, "tokenizer.ggml.unknown_token_id").value_or(kNoPiece);
  if (unknown_ == kNoPiece) {
    fail(file, "tokenizer.ggml.tokens has no byte tokens, and tokenizer.ggml.unknown_token_id is missing");
  }
}

int32_t Pieces::find_piece(std::string_view text) const {
  const int32_t token = vocabulary_.find(text).value_or(kNoPiece);
  return token != kNoPiece && vocabulary_.kind(token) == TokenKind::kNormal ? token : kNoPiece;
}

void Pieces::read_merges(const std::vector<uint32_t>& ranks) {
  struct Pair {
    int32_t left, right, both;
  };
  std::vector<Pair> pairs;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_.kind(id) != TokenKind::kNormal) continue;
    const std::string_view text = vocabulary_.text(id);
    for (size_t cut = unicode::decode(text, 0).num_bytes; cut < text.size();
         cut += unicode::decode(text, cut).num_bytes) {
      const int32_t left = find_piece(text.substr(0, cut));
      const int32_t right = left == kNoPiece ? kNoPiece : find_piece(text.substr(cut));
      if (right != kNoPiece) pairs.push_back({left, right, id});
    }
  }
  merges_ = MergeTable(pairs.size());
  for (const Pair& pair : pairs) {
    merges_.insert(pair.left, pair.right, {ranks[static_cast<size_t>(pair.both)], pair.both});
  }
}

void Pieces::read_joints() {
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    if (vocabulary_.kind(id) != TokenKind::kNormal) continue;
    const std::string_view text = vocabulary_.text(id);
    for (size_t at = text.find(kEscapedSpace, 1); at != std::string_view::npos;
         at = text.find(kEscapedSpace, at + 1)) {
      joins_space_.insert(last_character(text.substr(0, at)));
    }
  }
}

bool Pieces::joins_space(std::string_view before) const {
  const char32_t last = last_character(before);
  return joins_space_.contains(last == U' ' ? U'\u2581' : last);
}

void Pieces::append_character(std::string_view character, std::vector<int32_t>& tokens) const {
  const auto first = static_cast<uint8_t>(character.front());
  const int32_t token = first < token_of_ascii_.size() ? token_of_ascii_[first] : find_piece(character);
  if (token != kNoPiece) {
    tokens.push_back(token);
  } else if (unknown_ == kNoPiece) {
    for (const char byte : character) tokens.push_back(token_of_byte_[static_cast<uint8_t>(byte)]);
  } else if (tokens.empty() || tokens.back() != unknown_) {
    tokens.push_back(unknown_);  // one for a run of them
  }
}

void Pieces::merge(std::string_view text, std::vector<int32_t>& tokens) const {
  tokens.clear();
  for (size_t pos = 0; pos < text.size();) {
    const size_t length = unicode::decode(text, pos).num_bytes;
    append_character(text.substr(pos, length), tokens);
    pos += length;
  }
  merges_.apply(tokens);
}

}  // namespace phonelm
