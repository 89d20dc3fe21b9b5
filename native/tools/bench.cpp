// Times a model as Python's `phonelm bench` does, and names the figures alike.
#include <algorithm>
#include <chrono>
#include <fstream>

#include "tools/figures.h"
#include "tools/library.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

namespace phonelm::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUpTokens = 16;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A line of Linux's account of this process; 0 on other systems.
uint64_t status_bytes(const std::string& name) {
  std::ifstream file("/proc/self/status");
  uint64_t kib = 0;
  for (std::string word; file >> word;) {
    if (word == name + ":" && file >> kib) return kib * 1024;
  }
  return 0;
}

std::vector<int32_t> random_prompt(int vocab_size, int size, int seed) {
  auto state = static_cast<uint64_t>(seed) * 0x9e3779b97f4a7c15u + 1;
  std::vector<int32_t> tokens(static_cast<size_t>(size));
  for (int32_t& token : tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab_size));
  }
  return tokens;
}

std::vector<double> live_fractions(phonelm_session* session, int num_layers) {
  std::vector<double> fractions(static_cast<size_t>(num_layers));
  size_t size = 0;
  check([&](phonelm_error* error) {
    return phonelm_session_live_fractions(session, fractions.data(), fractions.size(), &size, error);
  });
  fractions.resize(size);
  return fractions;
}

// A prompt and greedy tokens after it, in a fresh session.
Timed time_run(phonelm_model* model, const phonelm_model_info& info, const std::vector<int32_t>& prompt,
               int generated) {
  const Session session = new_session(model, static_cast<int32_t>(prompt.size()) + generated);
  phonelm_sampler_options greedy{};
  greedy.size = sizeof(greedy);
  const Sampler sampler = new_sampler(greedy);
  int32_t token = 0;
  const auto start = Clock::now();
  check([&](phonelm_error* e) {
    return phonelm_session_prefill(session.get(), prompt.data(), prompt.size(), e);
  });
  check([&](phonelm_error* e) { return phonelm_session_sample(session.get(), sampler.get(), &token, e); });
  const double prefill_s = seconds_since(start);
  const auto middle = Clock::now();
  for (int i = 0; i < generated; ++i) {
    check([&](phonelm_error* e) {
      return phonelm_session_step(session.get(), token, sampler.get(), &token, e);
    });
    throw_if_interrupted();
  }
  const double decode_s = seconds_since(middle);
  phonelm_session_info of{};
  of.size = sizeof(of);
  check([&](phonelm_error* e) { return phonelm_session_get_info(session.get(), &of, e); });
  return {prefill_s, decode_s, of.kv_type, of.kv_bytes, live_fractions(session.get(), info.num_layers)};
}

Figures measure(const Arguments& arguments, const Counts& counts) {
  Figures figures{};
  figures.counts = counts;
  figures.base_bytes = status_bytes("VmRSS");
  const auto start = Clock::now();
  const Model model = load(arguments, counts.prompt + counts.generated);
  figures.load_s = seconds_since(start);
  figures.info = info_of(model.get());
  const phonelm_model_info& info = figures.info;
  const auto run = [&](int num_prompt, int num_generated, int seed) {
    return time_run(model.get(), info, random_prompt(info.vocab_size, num_prompt, seed), num_generated);
  };
  run(std::min(counts.prompt, kWarmUpTokens), std::min(counts.generated, kWarmUpTokens), -1);
  for (int seed = 0; seed < counts.repeats; ++seed)
    figures.runs.push_back(run(counts.prompt, counts.generated, seed));
  figures.peak_bytes = status_bytes("VmHWM");
  check(
      [&](phonelm_error* e) { return phonelm_model_measure_bandwidth(model.get(), &figures.bandwidth, e); });
  // They end with the model.
  figures.info.architecture = figures.info.name = figures.info.chat_template = nullptr;
  return figures;
}

int run(const Arguments& arguments) {
  const auto count = [&](const char* name, int64_t otherwise) {
    return static_cast<int>(arguments.integer(name, otherwise, 1, 1 << 30));
  };
  const Counts counts{count("prefill", 512), count("decode", 128), count("repeats", 3)};
  const Figures figures = measure(arguments, counts);
  print(arguments.has("json") ? figures_document(arguments.model(), figures) + "\n"
                              : figures_table(arguments.model(), figures));
  return 0;
}

}  // namespace

Verb bench_verb() {
  return {"bench",
          "Measure the speed and memory of a model on this machine.\n",
          true,
          load_options({{"prefill", 0, "N", "Tokens of the prompt (512)."},
                        {"decode", 0, "N", "Tokens to make (128)."},
                        {"repeats", 0, "N", "Runs; the median is shown (3)."},
                        {"json", 0, nullptr, "Print one JSON document instead of the table."}}),
          "phonelm-cli bench model.gguf --prefill 512 --decode 128 --json",
          &run};
}

}  // namespace phonelm::cli
