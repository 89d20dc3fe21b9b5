/* PhoneLM's runtime for programs in C and in whatever calls C: load a GGUF model, evaluate tokens, generate
 * text.
 *
 * Every function returns a status, catches whatever goes wrong inside, and, where `error` is given, writes
 * one line there that says what is wrong and what to do next. `error` may be NULL; it is written only on
 * failure. Outputs are written only on success, but for the size needed with PHONELM_TOO_SMALL.
 *
 * Options and infos are structs that begin with their own size: `phonelm_load_options options = {sizeof
 * options};`. Zero means the default in every field of the options, and NULL options are all defaults, so
 * that a program keeps its meaning with a later library that has more fields. Fields that an older library
 * does not know must be zero.
 *
 * Handles are names, not addresses: NULL, a freed one or one of another kind is answered with
 * PHONELM_BAD_ARGUMENT. A session keeps its model's weights alive after phonelm_model_free.
 *
 * Threads: every function may be called from any thread. Calls on one session or one sampler wait for each
 * other; so does the arithmetic of the sessions of one model, which share its threads. A handle may be freed
 * while another thread is in a call with it: the call ends first.
 *
 * Texts are UTF-8 and come with their length, so that they may hold zeros; paths, names and keys end with
 * one.
 */
#ifndef PHONELM_H
#define PHONELM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PHONELM_API __attribute__((visibility("default")))
#else
#define PHONELM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct phonelm_model phonelm_model;
typedef struct phonelm_session phonelm_session;
typedef struct phonelm_sampler phonelm_sampler;
typedef struct phonelm_bench phonelm_bench;

typedef enum phonelm_status {
  PHONELM_OK = 0,
  PHONELM_BAD_ARGUMENT = 1, /* a NULL, an unknown handle, options of another size */
  PHONELM_REFUSED = 2, /* a broken or unsupported file, a value out of range, a full context, too large */
  PHONELM_SYSTEM = 3,  /* what the system said: no such file, no permission */
  PHONELM_OUT_OF_MEMORY = 4, /* in the middle of a call; what does not fit at all is refused beforehand */
  PHONELM_NOT_FOUND = 5,     /* no such key in the metadata */
  PHONELM_TOO_SMALL = 6,     /* the buffer; how much is needed was written */
  PHONELM_INTERNAL = 7       /* a fault of the library: report it */
} phonelm_status;

typedef struct phonelm_error {
  char message[1024]; /* one line, ends with a zero; a longer one is cut */
} phonelm_error;

/* "0.1.0". Never fails. */
PHONELM_API const char* phonelm_version(void);

/* The machine
 * ------------------------------------------------------------------------------------------------- */

typedef struct phonelm_machine_info {
  size_t size;
  const char* cpu;  /* as the system names it, "unknown" where it does not; stays for ever */
  const char* isas; /* instruction sets that can run here, slowest first, commas between; stays for ever */
  uint64_t memory_bytes;
  uint64_t available_memory_bytes; /* what this process may still get: machine, control group, own limits */
  int32_t num_cores;               /* that this process may use */
  int32_t num_physical_cores;      /* without the second threads of a core */
} phonelm_machine_info;

PHONELM_API phonelm_status phonelm_machine_get_info(phonelm_machine_info* info, phonelm_error* error);

/* The cost of the runtime's operators on this machine, by lines of text. A request is an operator and its
 * sizes, matmul type=q4_0 rows=1536 cols=576 tokens=1 footprint=67108864 min_ms=5 isa=dotprod threads=4
 *   attention heads=9 kv_heads=3 head_dim=64 context=512 tokens=1
 *   project type=q4_0 rows=960 hidden=576, add_attention type=q4_0 hidden=576 width=576
 *   ffn type=q4_0 gated=1 hidden=576 intermediate=1536, head type=q8_0 vocab=49152 hidden=576
 *   embed vocab=49152 hidden=576, sampling vocab=49152, barrier
 * whose answer is the median seconds of a call; or `bandwidth bytes=1048576 threads=4` (bytes per second),
 * `int8 threads=4` (operations per second), `machine` (JSON). What is wrong with a request is the answer
 * "error: ...". */
PHONELM_API phonelm_status phonelm_bench_new(phonelm_bench** bench, phonelm_error* error);
/* NULL is allowed. */
PHONELM_API phonelm_status phonelm_bench_free(phonelm_bench* bench);
/* `*answer` is one line without its end, and stays until the bench is asked again or freed. */
PHONELM_API phonelm_status phonelm_bench_ask(phonelm_bench* bench, const char* request, size_t num_bytes,
                                             const char** answer, phonelm_error* error);

/* Models
 * ------------------------------------------------------------------------------------------------------ */

typedef struct phonelm_load_options {
  size_t size;
  const char* isa;     /* NULL: PHONELM_ISA of the environment, or the fastest */
  const char* kv_type; /* of the sessions' keys and values: "f16" (NULL) or "q8_0" */
  int32_t num_threads; /* 0: as many as a short measurement finds fastest */
  int32_t
      context_length; /* of the sessions; a model that leaves no room for one is refused. 0: the model's */
  int32_t dense_ffn;  /* not 0: decode reads the dead neurons of ReLU models too */
} phonelm_load_options;

PHONELM_API phonelm_status phonelm_model_load(const char* path, const phonelm_load_options* options,
                                              phonelm_model** model, phonelm_error* error);
/* NULL is allowed. */
PHONELM_API phonelm_status phonelm_model_free(phonelm_model* model);

typedef struct phonelm_model_info {
  size_t size;
  /* These stay until the model is freed. */
  const char* architecture;
  const char* isa;           /* of the kernels that run */
  const char* name;          /* NULL where the file has none */
  const char* chat_template; /* Jinja; NULL where the file has none */
  uint64_t file_bytes;
  uint64_t weight_bytes;       /* as the kernels read them */
  uint64_t token_weight_bytes; /* of these, what one token reads if no neuron is skipped */
  uint64_t buffer_bytes;       /* working memory */
  uint64_t kv_bytes;           /* of a session of `context_length` */
  int32_t vocab_size;
  int32_t context_length; /* of a session unless it asks for another: the option at loading, or the longest */
  int32_t max_context_length; /* that the model was trained for */
  int32_t num_layers;
  int32_t hidden_size;
  int32_t bos_token; /* -1 where there is none */
  int32_t eos_token;
  int32_t prefill_threads;
  int32_t decode_threads;
} phonelm_model_info;

PHONELM_API phonelm_status phonelm_model_get_info(phonelm_model* model, phonelm_model_info* info,
                                                  phonelm_error* error);

/* A text of the file's metadata, as "tokenizer.chat_template"; `*text` stays until the model is freed.
 * NOT_FOUND where the file has no such key; REFUSED where its value is no text. */
PHONELM_API phonelm_status phonelm_model_get_text(phonelm_model* model, const char* key, const char** text,
                                                  size_t* num_bytes, phonelm_error* error);
/* The same for whole numbers. */
PHONELM_API phonelm_status phonelm_model_get_integer(phonelm_model* model, const char* key, int64_t* value,
                                                     phonelm_error* error);
/* Bytes a second at which decode's threads read the weights where they lie: what bounds decode. Takes some
 * passes through the weights. */
PHONELM_API phonelm_status phonelm_model_measure_bandwidth(phonelm_model* model, double* bytes_per_s,
                                                           phonelm_error* error);

/* Text and tokens
 * --------------------------------------------------------------------------------------------- */

enum {
  PHONELM_PARSE_SPECIAL = 1, /* the text of a control token, as "<|im_start|>", becomes that token */
  PHONELM_PROMPT = 2         /* the begin-of-text token goes in front where the model was trained so */
};
enum { PHONELM_WITH_SPECIAL = 1 /* control tokens become their text; else nothing */ };

/* `flags` are of the first kind. Writes at most `capacity` tokens; `*num_tokens` is their number. With
 * PHONELM_TOO_SMALL it is the number needed and `tokens` is untouched: capacity 0 and tokens NULL ask for it.
 */
PHONELM_API phonelm_status phonelm_tokenize(phonelm_model* model, const char* text, size_t num_bytes,
                                            uint32_t flags, int32_t* tokens, size_t capacity,
                                            size_t* num_tokens, phonelm_error* error);
/* Bytes of tokens, in the same manner, without a zero at the end; they may begin or end within a character.
 * `flags` are of the second kind. */
PHONELM_API phonelm_status phonelm_detokenize(phonelm_model* model, const int32_t* tokens, size_t num_tokens,
                                              uint32_t flags, char* bytes, size_t capacity, size_t* num_bytes,
                                              phonelm_error* error);
/* Bytes of one token wherever it stands. */
PHONELM_API phonelm_status phonelm_token_bytes(phonelm_model* model, int32_t token, uint32_t flags,
                                               char* bytes, size_t capacity, size_t* num_bytes,
                                               phonelm_error* error);
/* 1 for a token at which generation ends (end of text or turn), else 0. */
PHONELM_API phonelm_status phonelm_token_is_stop(phonelm_model* model, int32_t token, int32_t* is_stop,
                                                 phonelm_error* error);

/* Samplers
 * ---------------------------------------------------------------------------------------------------- */

/* Biases, penalties and DRY change the logits, the latter two of tokens that are among the session's last
 * ones; then tokens are left out by min-p, top-k, typical-p, top-p and XTC, in that order; one of the rest is
 * drawn. */
typedef struct phonelm_sampler_options {
  size_t size;
  uint64_t seed;
  float temperature; /* 0: the likeliest token */
  float top_p;       /* 0: all */
  float min_p;
  int32_t top_k;           /* 0: all */
  float typical_p;         /* 0: all */
  float repeat_penalty;    /* divides logits above 0 and multiplies others; 0: 1, none */
  float presence_penalty;  /* subtracted from the logits of tokens that are there */
  float frequency_penalty; /* subtracted for each time they are */
  int32_t repeat_last_n;   /* how many tokens the penalties look at; 0: 64, -1: all */
  float dry_multiplier;    /* DRY: a token that would repeat n tokens loses multiplier * base^(n - allowed) */
  float dry_base;          /* 0: 1.75 */
  int32_t dry_allowed_length; /* 0: 2 */
  int32_t dry_penalty_last_n; /* how many tokens DRY looks at; 0 and -1: all */
  float xtc_probability;      /* XTC: how often the tokens above the threshold leave, but for the last one */
  float xtc_threshold;        /* 0: 0.1 */
} phonelm_sampler_options;

PHONELM_API phonelm_status phonelm_sampler_new(const phonelm_sampler_options* options,
                                               phonelm_sampler** sampler, phonelm_error* error);
/* NULL is allowed. */
PHONELM_API phonelm_status phonelm_sampler_free(phonelm_sampler* sampler);
/* From now on only tokens whose bit is set may be drawn: token t is bit t % 32 of words[t / 32], beyond the
 * words none is. The words are copied. NULL and 0 lift the mask. */
PHONELM_API phonelm_status phonelm_sampler_set_mask(phonelm_sampler* sampler, const uint32_t* words,
                                                    size_t num_words, phonelm_error* error);

/* What is added to the logits of these tokens from now on, in place of what was before; minus infinity bans a
 * token. Both arrays are copied. NULL and 0 lift it. */
PHONELM_API phonelm_status phonelm_sampler_set_logit_bias(phonelm_sampler* sampler, const int32_t* tokens,
                                                          const float* biases, size_t num_tokens,
                                                          phonelm_error* error);
/* A text over which no repetition of DRY reaches, such as "\n". A sampler begins with none. */
PHONELM_API phonelm_status phonelm_sampler_add_dry_breaker(phonelm_sampler* sampler, phonelm_model* model,
                                                           const char* text, size_t num_bytes,
                                                           phonelm_error* error);

/* Sessions: one sequence of tokens, its keys and values, the logits of its last token
 * --------------------------- */

typedef struct phonelm_session_options {
  size_t size;
  const char* kv_type;    /* NULL: as the model was loaded for */
  int32_t context_length; /* 0: the model's `context_length` */
  int32_t slides;         /* not 0: a full context drops its oldest tokens, but for the first; 0: it ends */
  int32_t num_sinks;      /* how many of the first stay; 0: 4 */
} phonelm_session_options;

PHONELM_API phonelm_status phonelm_session_new(phonelm_model* model, const phonelm_session_options* options,
                                               phonelm_session** session, phonelm_error* error);
/* Writes the session to a file, whole or not at all. */
PHONELM_API phonelm_status phonelm_session_save(phonelm_session* session, const char* path,
                                                phonelm_error* error);
/* A session as it was saved, on the same model, with its logits; `context_length` 0 is the saved one's.
 * REFUSED for a damaged file or one of another model. */
PHONELM_API phonelm_status phonelm_session_restore(phonelm_model* model, const char* path,
                                                   int32_t context_length, phonelm_session** session,
                                                   phonelm_error* error);
/* NULL is allowed. */
PHONELM_API phonelm_status phonelm_session_free(phonelm_session* session);

typedef struct phonelm_session_info {
  size_t size;
  const char* kv_type; /* stays for ever */
  uint64_t kv_bytes;
  int32_t position;    /* tokens evaluated so far, those that the context has slid past too */
  int32_t num_dropped; /* that it has slid past */
  int32_t context_length;
} phonelm_session_info;

PHONELM_API phonelm_status phonelm_session_get_info(phonelm_session* session, phonelm_session_info* info,
                                                    phonelm_error* error);
/* Evaluates tokens after those before. What is refused changes nothing. */
PHONELM_API phonelm_status phonelm_session_prefill(phonelm_session* session, const int32_t* tokens,
                                                   size_t num_tokens, phonelm_error* error);
/* Draws the next token from the last logits; evaluates nothing. */
PHONELM_API phonelm_status phonelm_session_sample(phonelm_session* session, phonelm_sampler* sampler,
                                                  int32_t* next, phonelm_error* error);
/* Evaluates one token and draws the next. */
PHONELM_API phonelm_status phonelm_session_step(phonelm_session* session, int32_t token,
                                                phonelm_sampler* sampler, int32_t* next,
                                                phonelm_error* error);
/* Of the last token evaluated: `vocab_size` numbers, in the manner of phonelm_tokenize. */
PHONELM_API phonelm_status phonelm_session_logits(phonelm_session* session, float* logits, size_t capacity,
                                                  size_t* num_logits, phonelm_error* error);
/* Forgets the tokens from `position` on; not those that the context has slid past. The logits stay those of
 * the last evaluation. */
PHONELM_API phonelm_status phonelm_session_truncate(phonelm_session* session, int32_t position,
                                                    phonelm_error* error);
/* Share of live FFN neurons by layer over the tokens evaluated alone, in the manner of phonelm_tokenize; none
 * where all neurons are computed. */
PHONELM_API phonelm_status phonelm_session_live_fractions(phonelm_session* session, double* fractions,
                                                          size_t capacity, size_t* num_layers,
                                                          phonelm_error* error);

/* Generation
 * -------------------------------------------------------------------------------------------------- */

enum { PHONELM_NO_TOKEN = -1 };

typedef struct phonelm_progress {
  size_t size;
  const char*
      text; /* whole characters; bytes that are no UTF-8 have become U+FFFD. Stays until the callback ends */
  size_t num_bytes; /* of `text`; may be 0, when a token ends within a character */
  int32_t token; /* PHONELM_NO_TOKEN after a part of the prompt, and for text that was held back at the end */
  int32_t num_evaluated; /* tokens of the prompt so far */
} phonelm_progress;

/* Called after each part of the prompt and after each token. What it returns other than 0 cancels. It may
 * call any function, on this session and sampler too, but must not throw or jump out. */
typedef int (*phonelm_callback)(const phonelm_progress* progress, void* user);

typedef struct phonelm_generate_options {
  size_t size;
  int32_t max_tokens; /* 0: until the context is full */
} phonelm_generate_options;

typedef enum phonelm_finish {
  PHONELM_FINISH_STOP = 1,    /* the model ended its text */
  PHONELM_FINISH_LENGTH = 2,  /* `max_tokens` */
  PHONELM_FINISH_CONTEXT = 3, /* the context is full */
  PHONELM_FINISH_CANCELLED = 4
} phonelm_finish;

typedef struct phonelm_generation {
  size_t size;
  double prefill_s;
  double decode_s; /* of the tokens after the first, which comes out of the prompt */
  int32_t finish;  /* a phonelm_finish */
  int32_t num_tokens;
} phonelm_generation;

/* Evaluates the prompt (`num_tokens` 0 continues from the session's last logits) and generates tokens until
 * an end; the last one made is not evaluated. `callback` and `result` may be NULL. */
PHONELM_API phonelm_status phonelm_generate(phonelm_session* session, phonelm_sampler* sampler,
                                            const int32_t* prompt, size_t num_tokens,
                                            const phonelm_generate_options* options,
                                            phonelm_callback callback, void* user, phonelm_generation* result,
                                            phonelm_error* error);

#ifdef __cplusplus
}
#endif

#endif
