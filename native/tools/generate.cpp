#include <algorithm>

#include "tools/json.h"
#include "tools/library.h"
#include "tools/sampling.h"
#include "tools/stop_texts.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

namespace phonelm::cli {

namespace {

// What the callback of a generation gathers, or shows at once.
struct Output {
  bool streams;
  StopTexts stops;
  std::string text = {};
  std::vector<int32_t> tokens = {};
  // An exception must not pass through the library: it is kept until the generation has ended.
  std::exception_ptr problem = {};

  int take(const phonelm_progress& progress) {
    if (progress.token != PHONELM_NO_TOKEN) tokens.push_back(progress.token);
    try {
      show(stops.feed({progress.text, progress.num_bytes}));
    } catch (...) {
      problem = std::current_exception();
    }
    return problem || stops.is_met() || is_interrupted();
  }

  void show(const std::string& piece) { streams ? print(piece) : static_cast<void>(text.append(piece)); }
};

// Editors and `echo` put one there.
std::string without_line_end(std::string text) {
  if (!text.ends_with('\n')) return text;
  text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

// All that the command line says, read before anything is loaded.
struct Job {
  explicit Job(const Arguments& arguments)
      : slides(arguments.has("slide")),
        flags(PHONELM_PROMPT | (arguments.has("parse-special") ? PHONELM_PARSE_SPECIAL : 0)),
        max_tokens(static_cast<int32_t>(arguments.integer("max-tokens", 128, 1, INT32_MAX))),
        context(static_cast<int32_t>(arguments.integer("context", 0, 1, INT32_MAX))),
        sampling(arguments) {
    const int ways = arguments.has("prompt") + arguments.positional_text().has_value();
    if (ways == 2) throw UsageError("the prompt is given twice; give PROMPT or --prompt");
    if (ways == 0 && reads_terminal()) throw UsageError("--prompt is missing");
    prompt = arguments.positional_text().value_or(arguments.text("prompt", "-"));
    if (prompt == "-") prompt = without_line_end(read_all("-"));
  }

  bool slides;
  uint32_t flags;
  int32_t max_tokens;
  int32_t context;
  Sampling sampling;
  std::string prompt;
  // Filled by the run.
  phonelm_generation result{};
  size_t num_prompt_tokens = 0;
};

// No larger than this run can fill: a long context would be reserved, and refused on a small machine.
int32_t needed_context(size_t num_prompt_tokens, int32_t max_tokens, int32_t most) {
  const int64_t needed = static_cast<int64_t>(num_prompt_tokens) + max_tokens - 1;
  return static_cast<int32_t>(std::clamp<int64_t>(needed, 1, most));
}

void generate(phonelm_model* model, Job& job, Output& output) {
  const std::vector<int32_t> prompt = tokenize(model, job.prompt, job.flags);
  job.num_prompt_tokens = prompt.size();
  const int32_t most = info_of(model).context_length;
  const Session session = new_session(model, needed_context(prompt.size(), job.max_tokens, most), job.slides);
  const Sampler sampler = job.sampling.new_sampler(model);
  const phonelm_generate_options options{sizeof(options), job.max_tokens};
  job.result.size = sizeof(job.result);
  const auto callback = [](const phonelm_progress* progress, void* user) {
    return static_cast<Output*>(user)->take(*progress);
  };
  check([&](phonelm_error* error) {
    return phonelm_generate(session.get(), sampler.get(), prompt.data(), prompt.size(), &options, callback,
                            &output, &job.result, error);
  });
  if (output.problem) std::rethrow_exception(output.problem);
  output.show(output.stops.finish());
  if (output.stops.is_met()) job.result.finish = PHONELM_FINISH_STOP;
}

double rate(size_t count, double seconds) {
  return count > 0 && seconds > 0 ? static_cast<double>(count) / seconds : 0.0;
}

std::string document(const Arguments& arguments, const Job& job, const Output& output) {
  constexpr const char* kReasons[] = {"", "stop", "length", "context", "cancelled"};
  const size_t num_tokens = output.tokens.size();
  JsonObject object;
  object.text("model", arguments.model()).text("prompt", job.prompt).text("text", output.text);
  object.put("tokens", json_array(output.tokens, [](int32_t token) { return std::to_string(token); }));
  object.text("finish_reason", kReasons[job.result.finish]);
  object.integer("prompt_tokens", static_cast<int64_t>(job.num_prompt_tokens));
  object.integer("completion_tokens", static_cast<int64_t>(num_tokens));
  object.number("prefill_tok_s", rate(job.num_prompt_tokens, job.result.prefill_s));
  object.number("decode_tok_s", rate(num_tokens ? num_tokens - 1 : 0, job.result.decode_s));
  object.put("seed", std::to_string(job.sampling.options.seed));
  return object.str();
}

int run(const Arguments& arguments) {
  arguments.model();
  Job job(arguments);
  Output output{!arguments.has("json"), StopTexts(arguments.all("stop"))};
  const Model model = load(arguments, job.context);
  generate(model.get(), job, output);
  print((output.streams ? "" : document(arguments, job, output)) + "\n");
  throw_if_interrupted();
  if (output.streams && job.result.finish == PHONELM_FINISH_CONTEXT) {
    print_error("the context of " + std::to_string(info_of(model.get()).context_length) + " tokens is full");
  }
  return 0;
}

}  // namespace

Verb generate_verb() {
  return {"generate",
          "Continue a text and stream it to standard output.\n"
          "Chat templates are not rendered here: give a rendered prompt with --parse-special.\n",
          true,
          load_options(sampling_options(
              {{"prompt", 'p', "TEXT", "Text to continue; - or none reads standard input."},
               {"max-tokens", 'n', "N", "Tokens to make at most (128)."},
               {"stop", 0, "TEXT", "Ends the answer and is no part of it; may be repeated."},
               {"context", 0, "N", "Context in tokens; the model's if not given."},
               {"slide", 0, nullptr, "A full context drops its oldest tokens instead of ending."},
               {"parse-special", 0, nullptr, "Texts of control tokens become those tokens."},
               {"json", 0, nullptr, "Print one JSON document instead of the text."}})),
          "phonelm-cli generate model.gguf \"Once upon a time\" --max-tokens 64 --seed 1",
          &run,
          "PROMPT"};
}

}  // namespace phonelm::cli
