#include "tools/library.h"

namespace phonelm::cli {

namespace {
constexpr int64_t kMaxThreads = 256;
}

Model load(const Arguments& arguments, int32_t context_length) {
  const std::string isa = arguments.text("isa", "");
  const std::string kv_type = arguments.text("kv", "f16");
  phonelm_load_options options{};
  options.size = sizeof(options);
  options.isa = isa.empty() ? nullptr : isa.c_str();
  options.kv_type = kv_type.c_str();
  options.num_threads = static_cast<int32_t>(arguments.integer("threads", 0, 1, kMaxThreads));
  options.context_length = context_length;
  options.dense_ffn = arguments.has("dense");
  phonelm_model* model = nullptr;
  check([&](phonelm_error* error) {
    return phonelm_model_load(arguments.model().c_str(), &options, &model, error);
  });
  return Model(model);
}

phonelm_model_info info_of(phonelm_model* model) {
  phonelm_model_info info{};
  info.size = sizeof(info);
  check([&](phonelm_error* error) { return phonelm_model_get_info(model, &info, error); });
  return info;
}

Session new_session(phonelm_model* model, int32_t context_length, bool slides) {
  const phonelm_session_options options{sizeof(options), nullptr, context_length, slides, 0};
  phonelm_session* session = nullptr;
  check([&](phonelm_error* error) { return phonelm_session_new(model, &options, &session, error); });
  return Session(session);
}

Sampler new_sampler(const phonelm_sampler_options& options) {
  phonelm_sampler* sampler = nullptr;
  check([&](phonelm_error* error) { return phonelm_sampler_new(&options, &sampler, error); });
  return Sampler(sampler);
}

std::vector<int32_t> tokenize(phonelm_model* model, const std::string& text, uint32_t flags) {
  size_t size = 0;
  const auto call = [&](int32_t* tokens, size_t capacity, phonelm_error* error) {
    return phonelm_tokenize(model, text.data(), text.size(), flags, tokens, capacity, &size, error);
  };
  // A token is a byte at least, but for the one that begins the text and what a tokenizer puts in front.
  std::vector<int32_t> tokens(text.size() + 8);
  check([&](phonelm_error* error) { return call(tokens.data(), tokens.size(), error); });
  tokens.resize(size);
  return tokens;
}

std::vector<Option> load_options(std::vector<Option> others) {
  others.push_back({"threads", 0, "N", "Threads; chosen by a short measurement if not given."});
  others.push_back({"isa", 0, "NAME", "Instruction set; the fastest here if not given."});
  others.push_back({"kv", 0, "TYPE", "Type of keys and values: f16 or q8_0 (f16)."});
  others.push_back({"dense", 0, nullptr, "Compute the dead neurons of ReLU models too."});
  return others;
}

}  // namespace phonelm::cli
