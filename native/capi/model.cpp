#include "bench/weights.h"
#include "capi/objects.h"
#include "graph/kv_cache.h"

namespace phonelm::capi {

namespace {

using Models = Handles<phonelm_model, ModelObject>;

LoadOptions load_options(const phonelm_load_options& given) {
  LoadOptions options;
  if (given.isa) options.isa = given.isa;
  if (given.num_threads != 0) options.num_threads = given.num_threads;
  options.context_length = given.context_length;
  options.sparse_ffn = given.dense_ffn == 0;
  if (given.kv_type) options.kv_type = parse_kv_type(given.kv_type);
  return options;
}

void check_context(int context_length, int longest) {
  if (context_length < 0 || context_length > longest) {
    throw Error("context length is " + std::to_string(context_length) + "; this model takes 1 to " +
                std::to_string(longest));
  }
}

std::shared_ptr<ModelObject> load(const char* path, const phonelm_load_options& given) {
  if (given.context_length < 0) check_context(given.context_length, INT32_MAX);
  const LoadOptions options = load_options(given);
  auto model = Model::load(path, options);
  const int longest = model->config().context_length;
  check_context(given.context_length, longest);
  const int context_length = given.context_length ? given.context_length : longest;
  return std::make_shared<ModelObject>(std::move(model), context_length, options.kv_type);
}

const char* text_or_null(const Model& model, const char* key) {
  const std::string* text = model.file().get_string(key);
  return text ? text->c_str() : nullptr;
}

// One token reads one row of the embedding, but all of it where it is the head too.
size_t token_weight_bytes(const Model& model) {
  const bool tied = model.embedding().data == model.head().data;
  return model.weight_bytes() - (tied ? 0 : model.embedding().num_bytes());
}

phonelm_model_info info_of(const ModelObject& object) {
  const Model& model = *object.model;
  const ModelConfig& config = model.config();
  phonelm_model_info info{};
  info.architecture = config.architecture.c_str();
  info.isa = model.kernels().name;
  info.name = text_or_null(model, "general.name");
  info.chat_template = text_or_null(model, "tokenizer.chat_template");
  info.file_bytes = model.file().size_bytes();
  info.weight_bytes = model.weight_bytes();
  info.token_weight_bytes = token_weight_bytes(model);
  info.buffer_bytes = buffer_bytes(config, model.threads().num_threads());
  info.kv_bytes = KvCache::bytes_for(config, object.context_length, object.kv_type);
  info.vocab_size = config.vocab_size;
  info.context_length = object.context_length;
  info.max_context_length = config.context_length;
  info.num_layers = config.num_layers();
  info.hidden_size = config.hidden_size;
  info.bos_token = model.tokenizer().bos_id();
  info.eos_token = model.tokenizer().eos_id();
  info.prefill_threads = model.prefill_threads();
  info.decode_threads = model.decode_threads();
  return info;
}

[[noreturn]] void missing(const char* key) {
  throw Failure(PHONELM_NOT_FOUND, std::string("the file has no ") + key);
}

}  // namespace

}  // namespace phonelm::capi

using namespace phonelm;
using namespace phonelm::capi;

const char* phonelm_version(void) { return PHONELM_BUILD_VERSION; }

phonelm_status phonelm_model_load(const char* path, const phonelm_load_options* options,
                                  phonelm_model** model, phonelm_error* error) {
  return guarded(error, [&] {
    require(path, "path");
    require(model, "the address of the model");
    *model = Models::all().add(load(path, read_options(options, "options")));
  });
}

phonelm_status phonelm_model_free(phonelm_model* model) {
  return guarded(nullptr, [&] { Models::all().remove(model, "model"); });
}

phonelm_status phonelm_model_get_info(phonelm_model* model, phonelm_model_info* info, phonelm_error* error) {
  return guarded(error, [&] { write_info(info_of(*find(model)), info, "info"); });
}

phonelm_status phonelm_model_get_text(phonelm_model* model, const char* key, const char** text,
                                      size_t* num_bytes, phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require(key, "key");
    require(text, "the address of the text");
    const std::string* found = object->model->file().get_string(key);
    if (!found) missing(key);
    *text = found->c_str();
    if (num_bytes) *num_bytes = found->size();
  });
}

phonelm_status phonelm_model_get_integer(phonelm_model* model, const char* key, int64_t* value,
                                         phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require(key, "key");
    require(value, "the address of the value");
    const auto found = object->model->file().get_int(key);
    if (!found) missing(key);
    *value = *found;
  });
}

phonelm_status phonelm_model_measure_bandwidth(phonelm_model* model, double* bytes_per_s,
                                               phonelm_error* error) {
  return guarded(error, [&] {
    const auto object = find(model);
    require(bytes_per_s, "the address of the bandwidth");
    *bytes_per_s = weight_bandwidth(*object->model);
  });
}
