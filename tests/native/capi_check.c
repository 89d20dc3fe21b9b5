/* The C library from C, under the sanitizers: what a program does, and what it should not do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phonelm.h"

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)
#define OK(call) CHECK((call) == PHONELM_OK)
#define WRONG(call) CHECK((call) == PHONELM_BAD_ARGUMENT)

static int count_and_cancel(const phonelm_progress* progress, void* user) {
  int* left = user;
  CHECK(progress->size == sizeof *progress && strlen(progress->text) == progress->num_bytes);
  return --*left == 0;
}

static void check_tokens(phonelm_model* model) {
  const char text[] = "a\xff\0b<|endoftext|>";
  int32_t tokens[32];
  size_t size = 0;
  CHECK(phonelm_tokenize(model, text, sizeof text, 0, NULL, 0, &size, NULL) == PHONELM_TOO_SMALL);
  CHECK(size == sizeof text);
  OK(phonelm_tokenize(model, text, sizeof text, PHONELM_PARSE_SPECIAL, tokens, 32, &size, NULL));
  char bytes[sizeof text];
  OK(phonelm_detokenize(model, tokens, size, PHONELM_WITH_SPECIAL, bytes, sizeof bytes, &size, NULL));
  CHECK(size == sizeof text && memcmp(bytes, text, size) == 0);
  WRONG(phonelm_tokenize(model, text, sizeof text, 64, tokens, 32, &size, NULL));
  const int32_t outside[] = {1, 1 << 30};
  phonelm_error error;
  CHECK(phonelm_detokenize(model, outside, 2, 0, bytes, sizeof bytes, &size, &error) == PHONELM_REFUSED);
  CHECK(strchr(error.message, '\n') == NULL && error.message[0] != '\0');
}

static void check_generation(phonelm_model* model) {
  phonelm_session* session = NULL;
  phonelm_sampler* sampler = NULL;
  const phonelm_session_options session_options = {.size = sizeof session_options, .context_length = 64};
  phonelm_sampler_options sampler_options = {.size = sizeof sampler_options, .temperature = 0.8f, .seed = 1};
  OK(phonelm_session_new(model, &session_options, &session, NULL));
  OK(phonelm_sampler_new(&sampler_options, &sampler, NULL));
  const int32_t prompt[] = {72, 105};
  phonelm_generation result = {.size = sizeof result};
  int left = 5;
  OK(phonelm_generate(session, sampler, prompt, 2, NULL, count_and_cancel, &left, &result, NULL));
  CHECK(result.finish == PHONELM_FINISH_CANCELLED && result.num_tokens == 4);
  OK(phonelm_generate(session, sampler, NULL, 0, NULL, NULL, NULL, &result, NULL));
  CHECK(result.finish == PHONELM_FINISH_CONTEXT || result.finish == PHONELM_FINISH_STOP);
  const uint32_t none[] = {0};
  int32_t next = 0;
  OK(phonelm_sampler_set_mask(sampler, none, 1, NULL));
  CHECK(phonelm_session_sample(session, sampler, &next, NULL) == PHONELM_REFUSED);
  OK(phonelm_session_truncate(session, 1, NULL));
  CHECK(phonelm_session_step(session, -1, sampler, &next, NULL) == PHONELM_REFUSED);
  float logits[3];
  size_t size = 0;
  CHECK(phonelm_session_logits(session, logits, 3, &size, NULL) == PHONELM_TOO_SMALL && size == 288);
  OK(phonelm_session_free(session));
  WRONG(phonelm_session_free(session));
  WRONG(phonelm_session_prefill(session, prompt, 2, NULL));
  OK(phonelm_sampler_free(sampler));
}

static void check_wrong_handles(phonelm_model* model) {
  phonelm_model* strays[] = {NULL, (phonelm_model*)&model, (phonelm_model*)8, (phonelm_model*)-1};
  phonelm_model_info info = {.size = sizeof info};
  int32_t answer = 0;
  for (size_t i = 0; i < sizeof strays / sizeof *strays; ++i) {
    WRONG(phonelm_model_get_info(strays[i], &info, NULL));
    WRONG(phonelm_token_is_stop(strays[i], 0, &answer, NULL));
    WRONG(phonelm_generate((phonelm_session*)strays[i], NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL));
    WRONG(phonelm_sampler_set_mask((phonelm_sampler*)strays[i], NULL, 0, NULL));
  }
  WRONG(phonelm_session_truncate((phonelm_session*)model, 0, NULL));
}

static void check_broken_files(const char* path, const char* copy_path) {
  static char whole[1 << 20];
  FILE* file = fopen(path, "rb");
  CHECK(file);
  const size_t size = fread(whole, 1, sizeof whole, file);
  fclose(file);
  for (size_t cut = 0; cut < size; cut = cut * 2 + 1) {
    file = fopen(copy_path, "wb");
    CHECK(file && fwrite(whole, 1, cut, file) == cut);
    fclose(file);
    phonelm_model* model = NULL;
    phonelm_error error;
    CHECK(phonelm_model_load(copy_path, NULL, &model, &error) == PHONELM_REFUSED);
    CHECK(model == NULL);
  }
}

int main(int argc, char** argv) {
  CHECK(argc == 3);
  phonelm_model* model = NULL;
  phonelm_error error;
  const phonelm_load_options options = {.size = sizeof options, .num_threads = 2};
  CHECK(phonelm_model_load("nowhere.gguf", NULL, &model, &error) == PHONELM_SYSTEM);
  OK(phonelm_model_load(argv[1], &options, &model, NULL));
  check_tokens(model);
  check_generation(model);
  check_wrong_handles(model);
  check_broken_files(argv[1], argv[2]);
  OK(phonelm_model_free(model));
  return 0;
}
