#include <algorithm>
#include <random>

#include "tools/json.h"
#include "tools/library.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

namespace phonelm::cli {

namespace {

// What the callback of a generation gathers, or shows at once.
struct Output {
  bool streams;
  std::string text;
  std::vector<int32_t> tokens;
  // An exception must not pass through the library: it is kept until the generation has ended.
  std::exception_ptr problem;

  int take(const phonelm_progress& progress) {
    if (progress.token != PHONELM_NO_TOKEN) tokens.push_back(progress.token);
    const std::string_view piece(progress.text, progress.num_bytes);
    try {
      streams ? print(piece) : static_cast<void>(text.append(piece));
    } catch (...) {
      problem = std::current_exception();
    }
    return problem || is_interrupted();
  }
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
        context(static_cast<int32_t>(arguments.integer("context", 0, 1, INT32_MAX))) {
    std::random_device random;
    sampling.size = sizeof(sampling);
    sampling.seed = arguments.seed("seed", random());
    sampling.temperature = arguments.number("temperature", 0.7f);
    sampling.top_p = arguments.number("top-p", 0.95f);
    sampling.min_p = arguments.number("min-p", 0.0f);
    sampling.top_k = static_cast<int32_t>(arguments.integer("top-k", 0, 0, INT32_MAX));
    sampling.typical_p = arguments.number("typical-p", 1.0f);
    sampling.repeat_penalty = arguments.number("repeat-penalty", 1.0f);
    sampling.presence_penalty = arguments.number("presence-penalty", 0.0f);
    sampling.frequency_penalty = arguments.number("frequency-penalty", 0.0f);
    sampling.repeat_last_n = static_cast<int32_t>(arguments.integer("repeat-last-n", 64, -1, INT32_MAX));
    // In the library's options 0 is the default.
    if (sampling.repeat_last_n == 0)
      sampling.repeat_penalty = sampling.presence_penalty = sampling.frequency_penalty = 0.0f;
    const std::string& given = arguments.required("prompt");
    prompt = given == "-" ? without_line_end(read_all("-")) : given;
  }

  bool slides;
  uint32_t flags;
  int32_t max_tokens;
  int32_t context;
  phonelm_sampler_options sampling{};
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
  const Sampler sampler = new_sampler(job.sampling);
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
  object.put("seed", std::to_string(job.sampling.seed));
  return object.str();
}

int run(const Arguments& arguments) {
  arguments.model();
  Job job(arguments);
  Output output{!arguments.has("json"), {}, {}, {}};
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
          load_options({{"prompt", 'p', "TEXT", "Text to continue; - reads standard input."},
                        {"max-tokens", 'n', "N", "Tokens to make at most (128)."},
                        {"temperature", 0, "X", "0 takes the likeliest token each time (0.7)."},
                        {"top-k", 0, "N", "Draw from the k likeliest tokens; 0: from all (0)."},
                        {"top-p", 0, "X", "Draw from the likeliest tokens that hold this share (0.95)."},
                        {"min-p", 0, "X", "Drop tokens less likely than this share of the best (0)."},
                        {"typical-p", 0, "X", "Draw from tokens of typical surprise, up to this share (1)."},
                        {"repeat-penalty", 0, "X", "Above 1, tokens that were there are less likely (1)."},
                        {"presence-penalty", 0, "X", "Subtracted from the logits of such tokens (0)."},
                        {"frequency-penalty", 0, "X", "The same for each time they were there (0)."},
                        {"repeat-last-n", 0, "N", "How far back penalties look; -1: to the beginning (64)."},
                        {"seed", 0, "N", "Makes the draw repeatable."},
                        {"context", 0, "N", "Context in tokens; the model's if not given."},
                        {"slide", 0, nullptr, "A full context drops its oldest tokens instead of ending."},
                        {"parse-special", 0, nullptr, "Texts of control tokens become those tokens."},
                        {"json", 0, nullptr, "Print one JSON document instead of the text."}}),
          "phonelm-cli generate model.gguf --prompt \"Once upon a time\" --max-tokens 64 --seed 1",
          &run};
}

}  // namespace phonelm::cli
