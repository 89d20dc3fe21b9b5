// Byte-level BPE, GGUF's model `gpt2`: the text is cut into words (the rule named by `tokenizer.ggml.pre`),
// their bytes are mapped to tokens, merges are applied by rank. A byte for which the vocabulary has no token
// is left out, as Hugging Face's BPE without an unknown token and llama.cpp do (SmolLM2 lacks six control
// characters and the lead bytes of unassigned planes).
#pragma once

#include <memory>

#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

namespace phonelm {

std::unique_ptr<Tokenizer> make_byte_level(const GgufFile& file);

}  // namespace phonelm
