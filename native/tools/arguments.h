// The command line: a verb with its options. What is wrong with it is a UsageError (exit code 2).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace phonelm::cli {

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Option {
  const char* name;   // without the dashes
  char letter;        // 0 = none
  const char* value;  // what it takes, for the help; nullptr = a flag
  const char* help;
};

class Arguments;

struct Verb {
  const char* name;
  const char* summary;
  bool takes_model;
  std::vector<Option> options;
  const char* example;
  int (*run)(const Arguments&);     // returns the exit code
  const char* text_name = nullptr;  // of a text that may follow the model, for the help
};

std::string help_of(const Verb& verb);

class Arguments {
 public:
  // `words` are those after the verb: options, and the model where the verb takes one.
  Arguments(const Verb& verb, const std::vector<std::string>& words);

  bool wants_help() const { return has("help"); }
  bool has(const std::string& name) const { return values_.contains(name); }
  // Throws UsageError when it was not given.
  const std::string& model() const;
  // What stands after the model; nothing where nothing does.
  const std::optional<std::string>& positional_text() const { return text_; }
  // Every value of an option that may be repeated.
  const std::vector<std::string>& all(const std::string& name) const;
  const std::string& required(const std::string& name) const;
  std::string text(const std::string& name, const std::string& otherwise) const;
  int64_t integer(const std::string& name, int64_t otherwise, int64_t low, int64_t high) const;
  uint64_t seed(const std::string& name, uint64_t otherwise) const;
  float number(const std::string& name, float otherwise) const;

 private:
  const Option& find(const std::string& word) const;
  void set_model_or_text(const std::string& word);

  const Verb& verb_;
  std::string model_;
  std::optional<std::string> text_;
  std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace phonelm::cli
