// SentencePiece's BPE, GGUF's model `llama`: of all neighbours whose texts joined are a token, those with the
// highest score are merged first, the leftmost of equals. A space is written U+2581; a character without a
// token becomes its bytes' tokens `<0xXX>`, or the unknown token where the vocabulary has none of these.
// Algorithm: Kudo and Richardson 2018 (https://arxiv.org/abs/1808.06226), `bpe_model.cc`.
#pragma once

#include <memory>

#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

namespace phonelm {

std::unique_ptr<Tokenizer> make_sentencepiece(const GgufFile& file);

}  // namespace phonelm
