#include "sampling/breakers.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace phonelm {

std::vector<std::vector<int32_t>> breaker_sequences(const Tokenizer& tokenizer, std::string_view text) {
  if (text.empty()) throw Error("a sequence breaker is empty; leave it out or give some text");
  std::vector<std::vector<int32_t>> found;
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
    const std::string bytes = tokenizer.token_bytes(token, true);
    if (bytes.find(text) != std::string::npos) {
      found.push_back({token});
      continue;
    }
    for (size_t size = 1; size < std::min(text.size(), bytes.size() + 1); ++size) {
      if (!bytes.ends_with(text.substr(0, size))) continue;
      std::vector<int32_t> sequence = tokenizer.encode(text.substr(size), false);
      sequence.insert(sequence.begin(), token);
      found.push_back(std::move(sequence));
    }
  }
  return found;
}

}  // namespace phonelm
