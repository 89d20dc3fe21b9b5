// Any text through a small vocabulary of each kind: the tokens are in the vocabulary, and the text comes
// back.
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/check.h"
#include "fuzz/gguf_builder.h"
#include "fuzz/memory_file.h"
#include "gguf/gguf.h"
#include "tokenizer/byte_map.h"
#include "tokenizer/tokenizer.h"

namespace phonelm::fuzz {
namespace {

constexpr std::array kRules = {"gpt-2", "smollm", "default", "llama-bpe",
                               "dbrx",  "qwen35", "gpt-4o",  "tekken"};
constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kByte = 6;
constexpr std::string_view kSpace = "\xE2\x96\x81";

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;

  void add(std::string text, int32_t type) {
    tokens.push_back(std::move(text));
    types.push_back(type);
  }
  void write(GgufBuilder& file) const {
    file.add("tokenizer.ggml.tokens", tokens);
    file.add("tokenizer.ggml.token_type", types);
  }
};

std::unique_ptr<Tokenizer> read(const GgufBuilder& builder) {
  const std::string bytes = builder.bytes();
  const MemoryFile file(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return Tokenizer::from_gguf(*GgufFile::open(file.path()));
}

std::unique_ptr<Tokenizer> byte_level(const char* rule) {
  const ByteMap map;
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.add(map.text(static_cast<uint8_t>(byte)), kNormal);
  std::vector<std::string> merges;
  const std::string space = map.text(' ');
  const std::pair<std::string, std::string> pairs[] = {
      {"a", "a"},     {"aa", "aa"},   {space, "a"}, {"t", "h"}, {"th", "e"},
      {space, "the"}, {space, space}, {"1", "2"},   {"'", "s"}, {"\xC3\x8A", "\xC4\xA0"}};
  for (const auto& [left, right] : pairs) {
    vocabulary.add(left + right, kNormal);
    merges.push_back(left + " " + right);
  }
  vocabulary.add("<|im_end|>", kControl);
  vocabulary.add("<tool>", kUserDefined);
  GgufBuilder file;
  file.add("tokenizer.ggml.model", "gpt2");
  file.add("tokenizer.ggml.pre", rule);
  vocabulary.write(file);
  file.add("tokenizer.ggml.merges", merges);
  return read(file);
}

std::unique_ptr<Tokenizer> sentencepiece(bool add_space_prefix) {
  constexpr char kHex[] = "0123456789ABCDEF";
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.add({'<', '0', 'x', kHex[byte / 16], kHex[byte % 16], '>'}, kByte);
  }
  const std::string space(kSpace);
  for (const std::string& piece :
       {space, std::string("a"), std::string("b"), std::string("t"), std::string("h"), std::string("e"),
        std::string("aa"), std::string("aaa"), space + "a", space + space, std::string("th"),
        std::string("the"), space + "the", "e" + space + "t", std::string("\xC3\xA9"),
        std::string("\xC3\xA9\xC3\xA9"), std::string("ab"), std::string("ba")}) {
    vocabulary.add(piece, kNormal);
  }
  vocabulary.add("<end_of_turn>", kControl);
  // In a text without a prefix only: with one, the piece after a user-defined token has it too.
  if (!add_space_prefix) vocabulary.add("\n\n", kUserDefined);
  std::vector<float> scores;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) scores.push_back(-static_cast<float>(i % 7));
  GgufBuilder file;
  file.add("tokenizer.ggml.model", "llama");
  vocabulary.write(file);
  file.add("tokenizer.ggml.scores", scores);
  file.add_flag("tokenizer.ggml.add_space_prefix", add_space_prefix);
  return read(file);
}

struct Kind {
  std::unique_ptr<Tokenizer> tokenizer;
  bool escapes_spaces;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = [] {
    std::vector<Kind> made;
    for (const char* rule : kRules) made.push_back({byte_level(rule), false});
    for (const bool prefix : {false, true}) made.push_back({sentencepiece(prefix), true});
    return made;
  }();
  return all;
}

// A text that holds the escaped space gives a space back.
std::string unescaped(std::string_view text) {
  std::string out(text);
  for (size_t at = 0; (at = out.find(kSpace, at)) != out.npos; ++at) out.replace(at, kSpace.size(), " ");
  return out;
}

void use(const Kind& kind, std::string_view text) {
  const Tokenizer& tokenizer = *kind.tokenizer;
  const std::vector<int32_t> plain = tokenizer.encode(text, false);
  std::vector<int32_t> special = tokenizer.encode(text, true);
  for (const auto& ids : {plain, special}) {
    check(ids.size() <= text.size() + 1, "no more tokens than bytes");
    for (const int32_t id : ids)
      check(id >= 0 && id < tokenizer.vocab_size(), "tokens are in the vocabulary");
  }
  const std::string expected = kind.escapes_spaces ? unescaped(text) : std::string(text);
  check(tokenizer.decode(plain, false) == expected, "the text comes back");
  for (const int32_t id : plain) check(!tokenizer.is_special(id), "text does not become a special token");
  if (!tokenizer.add_space_prefix()) {
    check(tokenizer.decode(special, true) == expected, "the text comes back with its special tokens");
  }
}

}  // namespace
}  // namespace phonelm::fuzz

// The first byte chooses the tokenizer, the others are the text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phonelm::fuzz;
  if (size == 0) return 0;
  const auto& all = kinds();
  use(all[data[0] % all.size()], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
