#include "tools/figures.h"

#include <algorithm>
#include <cstdio>

#include "tools/json.h"
#include "tools/library.h"
#include "tools/machine.h"

namespace phonelm::cli {

namespace {

struct Spread {
  double median, low, high;
};

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  const double median = values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

Spread prefill_rate(const Figures& figures) {
  std::vector<double> rates;
  for (const Timed& run : figures.runs) rates.push_back(figures.counts.prompt / run.prefill_s);
  return spread_of(rates);
}

Spread decode_rate(const Figures& figures) {
  std::vector<double> rates;
  for (const Timed& run : figures.runs) rates.push_back(figures.counts.generated / run.decode_s);
  return spread_of(rates);
}

Spread first_token(const Figures& figures) {
  std::vector<double> seconds;
  for (const Timed& run : figures.runs) seconds.push_back(run.prefill_s);
  return spread_of(seconds);
}

// What the process held beyond its base, the weights and the keys and values.
uint64_t rest_bytes(const Figures& figures) {
  const uint64_t known = figures.base_bytes + figures.info.weight_bytes + figures.runs[0].kv_bytes;
  return figures.peak_bytes - std::min(known, figures.peak_bytes);
}

std::vector<double> mean_live_fractions(const Figures& figures) {
  std::vector<double> means(figures.runs[0].live_fractions.size());
  for (const Timed& run : figures.runs) {
    for (size_t layer = 0; layer < means.size(); ++layer) means[layer] += run.live_fractions[layer];
  }
  for (double& mean : means) mean /= static_cast<double>(figures.runs.size());
  return means;
}

// Without skipped neurons: weights, and the keys and values that lie before a token, on average.
double dense_bytes_per_token(const Figures& figures) {
  const Counts& counts = figures.counts;
  const double of_position =
      static_cast<double>(figures.runs[0].kv_bytes) / (counts.prompt + counts.generated);
  return static_cast<double>(figures.info.token_weight_bytes) +
         of_position * (counts.prompt + (counts.generated + 1) / 2.0);
}

std::string spread_json(const Spread& spread) {
  JsonObject object;
  object.number("median", spread.median).number("low", spread.low).number("high", spread.high);
  return object.str();
}

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string result_json(const std::string& path, const Figures& figures) {
  const auto bytes = [](uint64_t count) { return static_cast<int64_t>(count); };
  const phonelm_model_info& info = figures.info;
  JsonObject object;
  object.text("model", file_name(path)).text("path", path).text("isa", info.isa);
  object.integer("prefill_threads", info.prefill_threads).integer("decode_threads", info.decode_threads);
  object.text("kv_type", figures.runs[0].kv_type);
  object.integer("prompt_tokens", figures.counts.prompt)
      .integer("generated_tokens", figures.counts.generated);
  object.integer("repeats", figures.counts.repeats);
  object.put("prefill_tok_s", spread_json(prefill_rate(figures)));
  object.put("decode_tok_s", spread_json(decode_rate(figures)));
  object.put("first_token_s", spread_json(first_token(figures)));
  object.number("load_s", figures.load_s).integer("file_bytes", bytes(info.file_bytes));
  object.integer("base_bytes", bytes(figures.base_bytes)).integer("weight_bytes", bytes(info.weight_bytes));
  object.integer("kv_bytes", bytes(figures.runs[0].kv_bytes))
      .integer("buffer_bytes", bytes(rest_bytes(figures)));
  object.integer("peak_rss_bytes", bytes(figures.peak_bytes));
  object.integer("dense_bytes_per_token", static_cast<int64_t>(dense_bytes_per_token(figures)));
  object.integer("bandwidth_bytes_per_s", static_cast<int64_t>(figures.bandwidth));
  object.put("live_fractions", json_array(mean_live_fractions(figures), json_number));
  return object.str();
}

template <typename... Values>
std::string line(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof(text), format, values...);
  return text;
}

}  // namespace

std::string figures_document(const std::string& path, const Figures& figures) {
  JsonObject object;
  object.put("made", JsonObject().text("version", phonelm_version()).str());
  object.put("machine", machine_json()).put("results", "[" + result_json(path, figures) + "]");
  return object.str();
}

std::string figures_table(const std::string& path, const Figures& figures) {
  const auto mb = [](double bytes) { return bytes / 1e6; };
  const phonelm_model_info& info = figures.info;
  const Spread prefill = prefill_rate(figures);
  const Spread decode = decode_rate(figures);
  std::string text = file_name(path) + ", " + info.isa;
  text += line(", threads %d (prefill) and %d (decode)\n", info.prefill_threads, info.decode_threads);
  text += line("prefill      %.1f tokens/s (%.1f to %.1f)\n", prefill.median, prefill.low, prefill.high);
  text += line("decode       %.1f tokens/s (%.1f to %.1f)\n", decode.median, decode.low, decode.high);
  text += line("first token  %.3f s\n", first_token(figures).median);
  text += line("load         %.3f s\n", figures.load_s);
  text += line("memory       %.0f MB: weights %.0f, keys and values %.0f, rest %.0f\n",
               mb(static_cast<double>(figures.peak_bytes)), mb(static_cast<double>(info.weight_bytes)),
               mb(static_cast<double>(figures.runs[0].kv_bytes)),
               mb(static_cast<double>(figures.base_bytes + rest_bytes(figures))));
  text += line("bandwidth    %.1f GB/s of the weights; a token reads %.0f MB if no neuron is skipped\n",
               figures.bandwidth / 1e9, mb(dense_bytes_per_token(figures)));
  const std::vector<double> live = mean_live_fractions(figures);
  double sum = 0.0;
  for (const double fraction : live) sum += fraction;
  if (!live.empty()) text += line("dead         %.1f %% of the neurons\n", 100 - 100 * sum / live.size());
  return text;
}

}  // namespace phonelm::cli
