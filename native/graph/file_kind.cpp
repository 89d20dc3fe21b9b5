#include "graph/file_kind.h"

#include <string_view>

#include "core/error.h"
#include "core/printable.h"

namespace phonelm {
namespace {

struct OtherKind {
  // Of `general.type`, as llama.cpp's converters write it.
  std::string_view type;
  const char* what;
};

constexpr OtherKind kOtherKinds[] = {
    {"adapter",
     "is an adapter, not a model; load the model that it was made for, and give this file as its adapter "
     "(--lora, or adapters=[...] in Python)"},
    {"mmproj",
     "is the part of a model that sees or hears (mmproj), not the model; take the model's own file"},
    {"imatrix", "is an importance matrix for quantization, not a model; take the model's file"},
    {"vocab", "is a vocabulary without weights, not a model; take the model's file"},
};

bool has_vocabulary_alone(const GgufFile& file) {
  return file.tensors().empty() && file.metadata().contains("tokenizer.ggml.tokens");
}

// Empty where the file does not say.
std::string_view type_of(const GgufFile& file) {
  if (file.metadata().contains("adapter.type")) return "adapter";
  if (has_vocabulary_alone(file)) return "vocab";
  const std::string* type = file.get_string("general.type");
  return type == nullptr ? std::string_view() : *type;
}

}  // namespace

void refuse_other_kinds(const GgufFile& file) {
  const std::string_view type = type_of(file);
  for (const OtherKind& kind : kOtherKinds) {
    if (kind.type == type) throw Error(printable(file.path()) + ": " + kind.what);
  }
}

}  // namespace phonelm
