#include "tools/arguments.h"

#include <charconv>
#include <limits>

namespace phonelm::cli {

namespace {

constexpr Option kHelp{"help", 'h', nullptr, "Show this text."};

std::string shown(const Option& option) {
  std::string text = option.letter ? std::string("-") + option.letter + ", --" : "    --";
  text += option.name;
  return option.value ? text + " " + option.value : text;
}

template <typename Number>
Number parsed(const std::string& name, const std::string& text, Number low, Number high) {
  Number number{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = problem == std::errc() && end == text.data() + text.size();
  if (!whole || number < low || number > high) {
    throw UsageError("--" + name + " is '" + text + "'; give a whole number from " + std::to_string(low) +
                     " to " + std::to_string(high));
  }
  return number;
}

}  // namespace

std::string help_of(const Verb& verb) {
  std::string text = std::string("Usage: phonelm-cli ") + verb.name + (verb.takes_model ? " MODEL" : "") +
                     (verb.text_name ? std::string(" [") + verb.text_name + "]" : "") + " [options]\n\n" +
                     verb.summary;
  text += verb.takes_model ? "MODEL is a GGUF file.\n\nOptions:\n" : "\nOptions:\n";
  std::vector<Option> options = verb.options;
  options.push_back(kHelp);
  for (const Option& option : options) {
    std::string left = "  " + shown(option);
    left.resize(std::max<size_t>(left.size() + 2, 26), ' ');
    text += left + option.help + "\n";
  }
  return text + "\nExample:\n  " + verb.example + "\n";
}

Arguments::Arguments(const Verb& verb, const std::vector<std::string>& words) : verb_(verb) {
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      set_model_or_text(word);
      continue;
    }
    const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const Option& option = find(word.substr(0, equals));
    if (!option.value && equals != std::string::npos) throw UsageError(word + ": this option takes no value");
    std::vector<std::string>& values = values_[option.name];
    if (!option.value) continue;
    if (equals == std::string::npos && i + 1 == words.size()) throw UsageError(word + " needs a value");
    values.push_back(equals == std::string::npos ? words[++i] : word.substr(equals + 1));
  }
}

void Arguments::set_model_or_text(const std::string& word) {
  if (!verb_.takes_model) throw UsageError("'" + word + "' is no option");
  if (!model_.empty() && verb_.text_name) {
    if (text_) throw UsageError("there is a text too many: '" + word + "'; quote one of several words");
    text_ = word;
    return;
  }
  if (!model_.empty()) throw UsageError("there is one model too many: '" + word + "'");
  if (word.empty()) throw UsageError("the model is an empty text; give a GGUF file");
  model_ = word;
}

const Option& Arguments::find(const std::string& word) const {
  const auto is_named = [&](const Option& option) {
    return word == std::string("--") + option.name ||
           (option.letter && word == std::string("-") + option.letter);
  };
  for (const Option& option : verb_.options) {
    if (is_named(option)) return option;
  }
  if (is_named(kHelp)) return kHelp;
  throw UsageError("there is no option " + word);
}

const std::string& Arguments::model() const {
  if (model_.empty()) throw UsageError("the model is missing; give a GGUF file");
  return model_;
}

const std::string& Arguments::required(const std::string& name) const {
  if (!has(name)) throw UsageError("--" + name + " is missing");
  return values_.at(name).back();
}

const std::vector<std::string>& Arguments::all(const std::string& name) const {
  static const std::vector<std::string> kNone;
  return has(name) ? values_.at(name) : kNone;
}

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
  return has(name) ? values_.at(name).back() : otherwise;
}

int64_t Arguments::integer(const std::string& name, int64_t otherwise, int64_t low, int64_t high) const {
  return has(name) ? parsed<int64_t>(name, values_.at(name).back(), low, high) : otherwise;
}

uint64_t Arguments::seed(const std::string& name, uint64_t otherwise) const {
  constexpr uint64_t kMaxValue = std::numeric_limits<uint64_t>::max();
  return has(name) ? parsed<uint64_t>(name, values_.at(name).back(), 0, kMaxValue) : otherwise;
}

float Arguments::number(const std::string& name, float otherwise) const {
  if (!has(name)) return otherwise;
  // Not from_chars: NDK's and Apple's C++ libraries do not read floats with it.
  const std::string& text = values_.at(name).back();
  char* end = nullptr;
  const float number = std::strtof(text.c_str(), &end);
  if (text.empty() || *end != '\0') throw UsageError("--" + name + " is '" + text + "'; give a number");
  return number;
}

}  // namespace phonelm::cli
