#include "tools/library.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

namespace phonelm::cli {

namespace {

std::string text_of(const Arguments& arguments) {
  if (arguments.has("file") == arguments.has("text")) throw UsageError("give either --file or --text");
  return arguments.has("text") ? arguments.required("text") : read_all(arguments.required("file"));
}

int run(const Arguments& arguments) {
  arguments.model();
  const std::string text = text_of(arguments);
  const Model model = load(arguments, 1);
  const auto tokens = tokenize(model.get(), text, arguments.has("parse-special") ? PHONELM_PARSE_SPECIAL : 0);
  std::string out;
  if (arguments.has("count")) {
    out = std::to_string(tokens.size());
  } else {
    for (const int32_t token : tokens) out += (out.empty() ? "" : " ") + std::to_string(token);
  }
  print(out + "\n");
  return 0;
}

}  // namespace

Verb tokenize_verb() {
  return {"tokenize",
          "Print the token ids of a text on one line.\n",
          true,
          {{"text", 't', "TEXT", "The text."},
           {"file", 'f', "FILE", "A file with the text; - reads standard input."},
           {"count", 0, nullptr, "Print the number of tokens instead."},
           {"parse-special", 0, nullptr, "Texts of control tokens become those tokens."}},
          "phonelm-cli tokenize model.gguf --text \"Once upon a time\" --count",
          &run};
}

}  // namespace phonelm::cli
