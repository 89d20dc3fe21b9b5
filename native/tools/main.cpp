// phonelm-cli: text out of a GGUF model without Python, on top of phonelm.h.
#include <algorithm>

#include "system/program.h"
#include "tools/library.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

namespace phonelm::cli {

namespace {

std::string general_help(const std::vector<Verb>& verbs) {
  std::string text = "Usage: phonelm-cli VERB [MODEL] [options]\n\nRuns a small language model.\n\nVerbs:\n";
  for (const Verb& verb : verbs) {
    std::string name = std::string("  ") + verb.name;
    name.resize(12, ' ');
    text += name + std::string(verb.summary).substr(0, std::string(verb.summary).find('\n')) + "\n";
  }
  text +=
      "\nOptions:\n  --version   Print the version.\n  --help, -h  Show this text; after a verb, its own.\n";
  return text + "\nExample:\n  phonelm-cli generate model.gguf --prompt \"Once upon a time\"\n";
}

int run(const std::vector<std::string>& words) {
  const std::vector<Verb> verbs{generate_verb(), bench_verb(), tokenize_verb(), machine_verb(),
                                measure_verb()};
  if (words.empty()) {
    std::fputs(general_help(verbs).c_str(), stderr);
    return 2;
  }
  const std::string& first = words.front();
  if (first == "--version") return print(std::string("phonelm-cli ") + phonelm_version() + "\n"), 0;
  if (first == "--help" || first == "-h") return print(general_help(verbs)), 0;
  const auto verb = std::find_if(verbs.begin(), verbs.end(), [&](const Verb& v) { return first == v.name; });
  if (verb == verbs.end()) throw UsageError("there is no verb '" + first + "'");
  try {
    const Arguments arguments(*verb, {words.begin() + 1, words.end()});
    if (arguments.wants_help()) return print(help_of(*verb)), 0;
    return verb->run(arguments);
  } catch (const UsageError& error) {
    throw UsageError(std::string(error.what()) + "; see: phonelm-cli " + verb->name + " --help");
  }
}

int guarded(const std::vector<std::string>& words) {
  try {
    return run(words);
  } catch (const UsageError& error) {
    print_error(error.what());
    return 2;
  } catch (const ReaderGone&) {
    return 1;
  } catch (const Interrupted&) {
    print_error("interrupted");
    return 1;
  } catch (const std::exception& error) {
    print_error(error.what());
    return 1;
  }
}

}  // namespace

}  // namespace phonelm::cli

int main(int argc, char** argv) {
  const std::vector<std::string> words = phonelm::system::begin_program(argc, argv);
  phonelm::cli::catch_signals();
  return phonelm::cli::guarded(words);
}
