#include "tokenizer/tokenizer.h"

#include "core/error.h"
#include "core/printable.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/sentencepiece.h"

namespace phonelm {

std::unique_ptr<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  const std::string* model = file.get_string("tokenizer.ggml.model");
  if (model == nullptr) {
    throw Error(printable(file.path()) + ": tokenizer.ggml.model is missing; use a file with a tokenizer");
  }
  if (*model == "gpt2") return make_byte_level(file);
  if (*model == "llama") return make_sentencepiece(file);
  throw Error(
      printable(file.path()) + ": tokenizer model " + quoted(*model) +
      " (tokenizer.ggml.model) is not supported; gpt2 (byte-level BPE) and llama (SentencePiece) are");
}

std::string Tokenizer::decode(std::span<const int32_t> tokens, bool with_special) const {
  std::string bytes;
  for (const int32_t token : tokens) bytes += token_bytes(token, with_special);
  if (add_space_prefix_ && bytes.starts_with(' ')) bytes.erase(0, 1);
  return bytes;
}

}  // namespace phonelm
