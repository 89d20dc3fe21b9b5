// Sequence breakers of DRY as tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace phonelm {

// Every way in which a text may stand in tokens, as llama.cpp finds them: a token that holds it, or one whose
// end is its beginning, followed by the tokens of the rest. Throws Error for an empty text.
std::vector<std::vector<int32_t>> breaker_sequences(const Tokenizer& tokenizer, std::string_view text);

}  // namespace phonelm
