// Any bytes as a GGUF file: reader, configuration and tokenizer. The last bytes are also a text for the
// tokenizer, if there is one.
#include <algorithm>
#include <string_view>

#include "fuzz/check.h"
#include "fuzz/memory_file.h"
#include "gguf/gguf.h"
#include "graph/describe.h"
#include "tokenizer/tokenizer.h"

namespace phonelm::fuzz {
namespace {

constexpr size_t kTextBytes = 64;

void use_tokenizer(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool parse_special : {false, true}) {
    for (const int32_t token : tokenizer.encode(text, parse_special)) {
      check(token >= 0 && token < tokenizer.vocab_size(), "tokens are in the vocabulary");
    }
  }
  for (const int32_t token : tokenizer.stop_ids()) tokenizer.token_bytes(token, true);
  for (int32_t token = 0; token < std::min(tokenizer.vocab_size(), 100); ++token) {
    tokenizer.decode({{token}}, token % 2 == 0);
  }
}

void use_file(const std::string& path, std::string_view text) {
  const auto file = GgufFile::open(path);
  for (const TensorInfo& tensor : file->tensors()) {
    check(file->find_tensor(tensor.name) == &tensor, "tensors are found by name");
    check(tensor.offset + tensor.num_bytes <= file->size_bytes(), "tensors lie in the file");
    // Touches both ends, so that a pointer out of the map is seen.
    if (tensor.num_bytes > 0) {
      [[maybe_unused]] static volatile uint8_t sink;
      sink = static_cast<uint8_t>(tensor.data[0] ^ tensor.data[tensor.num_bytes - 1]);
    }
  }
  may_refuse([&] { describe(*file); });
  may_refuse([&] { use_tokenizer(*Tokenizer::from_gguf(*file), text); });
}

}  // namespace
}  // namespace phonelm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace phonelm::fuzz;
  const size_t num_text = std::min(size, kTextBytes);
  const std::string_view text(reinterpret_cast<const char*>(data) + size - num_text, num_text);
  const MemoryFile file(data, size);
  may_refuse([&] { use_file(file.path(), text); });
  return 0;
}
