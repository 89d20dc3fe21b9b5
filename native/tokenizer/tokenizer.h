// The tokenizers of GGUF files: byte-level BPE (`gpt2`, byte_level.h) and SentencePiece's BPE (`llama`,
// sentencepiece.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/gguf.h"

namespace phonelm {

// Bytes of a text, without `end`.
struct TextRange {
  size_t begin;
  size_t end;
};

// Safe to use from many threads at once. Keeps nothing of the file it was made from.
class Tokenizer {
 public:
  // Throws Error: another tokenizer model, an unknown pre-tokenizer, a vocabulary with holes or doubles, a
  // merge of unknown tokens, a special id outside the vocabulary, missing scores or byte tokens.
  static std::unique_ptr<Tokenizer> from_gguf(const GgufFile& file);
  virtual ~Tokenizer() = default;

  // UTF-8 (invalid bytes allowed: each is coded by its byte token). With `parse_special`, the text of a
  // control or unknown token becomes that token; without, it is text like any other. User-defined tokens are
  // cut out in both cases, as in llama.cpp.
  virtual std::vector<int32_t> encode(std::string_view text, bool parse_special) const = 0;
  // As `encode` with `parse_special`, but a byte in one of `plain` (sorted, disjoint) is never part of a
  // control or unknown token: what others wrote into a text stays text, whatever stands around it.
  virtual std::vector<int32_t> encode_around(std::string_view text,
                                             std::span<const TextRange> plain) const = 0;
  // The texts of control and unknown tokens, which only `parse_special` turns into these.
  virtual std::vector<std::string> control_texts() const = 0;
  // The bytes of a token: may be part of a UTF-8 character. Empty for special tokens unless `with_special`.
  // Throws Error when the token is outside the vocabulary, as the next two do.
  virtual std::string token_bytes(int32_t token, bool with_special) const = 0;
  // The tokens' bytes, without the space that `encode` put in front where the model wants one.
  std::string decode(std::span<const int32_t> tokens, bool with_special) const;
  // Not part of any text: control, unknown and unused tokens.
  virtual bool is_special(int32_t token) const = 0;

  virtual int32_t vocab_size() const = 0;
  int32_t bos_id() const { return bos_id_; }  // -1 when absent
  int32_t eos_id() const { return eos_id_; }  // -1 when absent
  // Whether the model expects bos_id before a text; `encode` does not add it.
  bool add_bos() const { return add_bos_; }
  // Whether the model was trained with eos_id after each text; a prompt to be continued has none.
  bool add_eos() const { return add_eos_; }
  // Whether a text begins with a space that `encode` adds.
  bool add_space_prefix() const { return add_space_prefix_; }
  // End of sequence or of turn: generation stops at any of them (eos, eot, and the usual names of these).
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }

 protected:
  int32_t bos_id_ = -1;
  int32_t eos_id_ = -1;
  bool add_bos_ = false;
  bool add_eos_ = false;
  bool add_space_prefix_ = false;
  std::vector<int32_t> stop_ids_;
};

}  // namespace phonelm
