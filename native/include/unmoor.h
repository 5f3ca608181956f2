/* Unmoor: runs saved models where there is no Python, no libtorch and no compiler.
 *
 * In life-cycle order: open a file, look at it, make a session, run it, free everything.
 *
 *   um_model *model; um_session *session; um_error error;
 *   if (um_open_file("net.unmoor", NULL, &model, &error)) fail(error.message);
 *   if (um_session_new(model, NULL, &session, &error)) fail(error.message);
 *   um_run(session, 0, inputs, 1, outputs, 1, &error);
 *
 * A model is immutable and may be shared by threads. A session belongs to one thread at a time; make one
 * per thread. There are no globals. Every function that can fail returns UM_OK or a status, and writes a
 * message into the `um_error` it is given (NULL: no message wanted). After the first call with given sizes,
 * um_run allocates nothing and takes no lock.
 */
#ifndef UNMOOR_H
#define UNMOOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define UM_API
#else
#define UM_API __attribute__((visibility("default")))
#endif

#define UM_VERSION_MAJOR 0
#define UM_VERSION_MINOR 1
#define UM_MAX_RANK 16
#define UM_ERROR_LENGTH 1024

typedef struct um_model um_model;
typedef struct um_session um_session;

/* Values are never reused for another meaning. */
typedef enum um_status {
  UM_OK = 0,
  UM_OUT_OF_MEMORY = 1,
  UM_CANNOT_READ = 2,       /* the operating system did not give us the file */
  UM_NOT_UNMOOR = 3,        /* not an Unmoor file */
  UM_DAMAGED = 4,           /* truncated, or a section does not match its digest or the rules of the format */
  UM_NEWER_FORMAT = 5,      /* written for a newer runtime than this one */
  UM_NOT_TRUSTED = 6,       /* the file's machine code was not trusted, and there is nothing else to run here */
  UM_WRONG_DIGEST = 7,      /* the file is not the one whose digest was given */
  UM_NO_CODE_FOR_CPU = 8,   /* the file holds no machine code that this processor can run */
  UM_WRONG_ARGUMENT = 9,    /* a null pointer, an unknown method, a wrong struct size */
  UM_WRONG_INPUT = 10,      /* count, dtype, rank or a dim does not fit any signature of the method */
  UM_OUTPUT_TOO_SMALL = 11, /* an output buffer is smaller than its tensor; `bytes` says what is needed */
  UM_NOT_TRACED = 12,       /* the call breaks an assumption of the trace; the message names the user's line */
  UM_TOO_LARGE = 13,        /* sizes overflow, or exceed a limit that the caller set */
  UM_WRONG_RESULT = 14      /* an example of the file gives something else than the file expects */
} um_status;

typedef enum um_dtype {
  UM_BOOL = 1, UM_U8 = 2, UM_I8 = 3, UM_I16 = 4, UM_I32 = 5, UM_I64 = 6,
  UM_F16 = 7, UM_BF16 = 8, UM_F32 = 9, UM_F64 = 10
} um_dtype;

/* May the machine code in the file run? Everything else in a file is safe whoever wrote it. */
typedef enum um_trust {
  UM_TRUST_NO = 0,    /* never run machine code from this file */
  UM_TRUST_YES = 1,   /* the caller vouches for the file */
  UM_TRUST_DIGEST = 2 /* run it if the file's digest is `digest` */
} um_trust;

/* Where are the weights while a model is open? */
typedef enum um_weights_in {
  UM_WEIGHTS_MAPPED = 0, /* where the file is: mapped, or in the caller's memory. Processes share them; least memory */
  UM_WEIGHTS_HUGE = 1    /* copied into memory of their own, of huge pages where the system gives them: faster calls */
} um_weights_in;

typedef struct um_error {
  um_status status;
  char message[UM_ERROR_LENGTH]; /* UTF-8, zero-terminated */
} um_error;

/* A dense tensor. `strides` are in elements; NULL means contiguous, last axis fastest.
 * As an input, the memory is only read; `bytes` is the room at `data`, or 0 where nobody knows; what is strided or not
 * aligned to its elements is copied first. Outputs overlap neither inputs nor each other. As an output, the caller sets `data` and `bytes` (the room there),
 * um_run sets dtype, rank, shape and `bytes` (the bytes used); `shape` then points into the session and is
 * valid until its next call. Outputs are written contiguously; `strides` is ignored. An output whose `data`
 * is NULL is given memory of the session, valid until its next call.
 * Dims that a call finds in its data are -1 after um_prepare, and `bytes` is then the most that the output may take: with
 * that room it is written in place, with less it is copied there where it fits, else UM_OUTPUT_TOO_SMALL says what it takes.
 * An input that um_input_is_changed names is written, too, once the call has succeeded, through its strides; it overlaps
 * no other input and not itself. */
typedef struct um_tensor {
  void *data;
  size_t bytes;
  const int64_t *shape;
  const int64_t *strides;
  int32_t rank;
  um_dtype dtype;
} um_tensor;

typedef struct um_open_options {
  size_t size; /* sizeof(um_open_options) */
  um_trust trust;
  const char *digest;  /* "sha256:<64 hex digits>", for UM_TRUST_DIGEST */
  const void *weights; /* the weights section, where it is kept apart from the file; NULL: in the file */
  size_t weights_bytes;
  um_weights_in weights_in; /* for weights that the file holds */
} um_open_options;

/* The host's own threads: calls work(task, k) once for each k below `count`, on any threads and in any order, and returns
 * when all have returned. */
typedef void (*um_parallel_for)(void *host, size_t count, void (*work)(void *task, size_t k), void *task);

typedef struct um_session_options {
  size_t size; /* sizeof(um_session_options) */
  /* Refuse calls that need more memory of the session, with UM_TOO_LARGE: its arena, copies of strided inputs, and outputs
   * that it gives. 0: no limit. */
  size_t max_arena_bytes;
  /* How many threads a call may use, the caller's own included; 0 and 1: only that one. The session starts the others,
   * as far as the process may use so many processors, and joins them when it is freed. Results are the same to the bit
   * for every number. A forked child goes on with one. */
  size_t threads;
  um_session *share; /* a session whose threads this one uses instead, whenever that one does not; NULL: its own */
  um_parallel_for parallel_for; /* NULL, or what runs the work instead of threads of the session, in `threads` parts */
  void *host; /* parallel_for's first argument */
} um_session_options;

/* -- open ------------------------------------------------------------------------------------------------ */
/* The file is checked whole before this returns. options may be NULL: nothing is trusted. */
UM_API um_status um_open_file(const char *path, const um_open_options *options, um_model **model, um_error *error);
/* The same from memory. The bytes are copied, but for the weights, which must stay as they are while the model lives. */
UM_API um_status um_open_memory(const void *data, size_t bytes, const um_open_options *options, um_model **model,
                                um_error *error);
/* A model may be freed while sessions of it live; they keep what they need. NULL is fine. */
UM_API void um_model_free(um_model *model);

/* -- look ------------------------------------------------------------------------------------------------ */
UM_API const char *um_version(void);
UM_API const char *um_status_name(um_status status);
UM_API const char *um_dtype_name(um_dtype dtype);   /* "f32"; "?" for an unknown one */
UM_API size_t um_dtype_size(um_dtype dtype);        /* bytes; 0 for an unknown one */
UM_API const char *um_model_digest(const um_model *model); /* "sha256:..." */
/* "native x86-64-v4", or why there is no native code: what a run will use. */
UM_API const char *um_model_engine(const um_model *model);
/* The targets that the file holds machine code for: "x86-64-v4"; "?" for one that this runtime does not know, NULL past
 * the end. */
UM_API size_t um_target_count(const um_model *model);
UM_API const char *um_target_name(const um_model *model, size_t target);
UM_API size_t um_kernel_count(const um_model *model);
UM_API size_t um_weight_bytes(const um_model *model);
UM_API size_t um_method_count(const um_model *model);
UM_API const char *um_method_name(const um_model *model, size_t method); /* NULL past the end */
UM_API um_status um_method_find(const um_model *model, const char *name, size_t *method, um_error *error);
UM_API size_t um_signature_count(const um_model *model, size_t method);
/* "(x: f32[s0, 3]) -> (f32[s0, 1])", for people; NULL past the end. */
UM_API const char *um_signature_text(const um_model *model, size_t method, size_t signature);
UM_API size_t um_input_count(const um_model *model, size_t method, size_t signature);
UM_API size_t um_output_count(const um_model *model, size_t method, size_t signature);
/* One input or output of a signature, outputs counted after the inputs: its name (NULL past the end), dtype, rank, and
 * its dim number `axis`, where that is fixed, else -1. */
UM_API const char *um_tensor_name(const um_model *model, size_t method, size_t signature, size_t tensor);
UM_API um_dtype um_tensor_dtype(const um_model *model, size_t method, size_t signature, size_t tensor);
UM_API int32_t um_tensor_rank(const um_model *model, size_t method, size_t signature, size_t tensor);
UM_API int64_t um_tensor_dim(const um_model *model, size_t method, size_t signature, size_t tensor, int32_t axis);
/* 1 where a call writes into that input once it has succeeded, else 0. */
UM_API int um_input_is_changed(const um_model *model, size_t method, size_t signature, size_t input);
/* What sessions keep from call to call: tensors with names, shared by all methods. Inputs and outputs do not count them. */
UM_API size_t um_state_count(const um_model *model);
UM_API const char *um_state_name(const um_model *model, size_t state); /* NULL past the end */
/* The nested structure of arguments and result, and what the trace froze, as the author's side wrote them. */
UM_API const char *um_arguments_text(const um_model *model, size_t method, size_t signature);
UM_API const char *um_result_text(const um_model *model, size_t method, size_t signature);
UM_API const char *um_assumptions_text(const um_model *model, size_t method);

/* -- run ------------------------------------------------------------------------------------------------- */
/* Fails with UM_NOT_TRUSTED or UM_NO_CODE_FOR_CPU where the model has nothing that may run here. */
UM_API um_status um_session_new(um_model *model, const um_session_options *options, um_session **session,
                                um_error *error);
UM_API void um_session_free(um_session *session);
/* How many threads its calls use at most, the caller's own included. */
UM_API size_t um_session_threads(const um_session *session);
/* Finds the signature that the inputs fit, checks them, and plans memory where the sizes are new: how much that is,
 * um_session_cost tells; it is taken when the call runs. Fills in dtype, rank, shape and bytes of the outputs, but neither
 * their data nor any result. outputs may be NULL: where the signatures of a method differ in their outputs,
 * um_session_signature then says which one it is. */
UM_API um_status um_prepare(um_session *session, size_t method, const um_tensor *inputs, size_t input_count,
                            um_tensor *outputs, size_t output_count, um_error *error);
/* Runs what um_prepare prepared last, on the same inputs, into the outputs' data. It may be repeated. */
UM_API um_status um_execute(um_session *session, um_tensor *outputs, size_t output_count, um_error *error);
/* um_prepare and um_execute in one. */
UM_API um_status um_run(um_session *session, size_t method, const um_tensor *inputs, size_t input_count,
                        um_tensor *outputs, size_t output_count, um_error *error);
/* Which signature the last um_prepare or um_run took. */
UM_API size_t um_session_signature(const um_session *session);
/* The state of a session. A call changes it once it has succeeded, and else not at all. `tensor` is filled in: its data
 * lie in the session, may be read or written between calls, and stay where they are while the session lives. */
UM_API um_status um_session_state(um_session *session, size_t state, um_tensor *tensor, um_error *error);
/* Copies `value`, which has the state's dtype and shape, into the state. */
UM_API um_status um_session_set_state(um_session *session, size_t state, const um_tensor *value, um_error *error);
/* Starts the random numbers that calls draw anew: the same ones for the same seed, on every host. */
UM_API um_status um_session_seed(um_session *session, int64_t seed, um_error *error);
/* Every state as it was before the first call. */
UM_API um_status um_session_reset_state(um_session *session, um_error *error);
/* What the last prepared call costs: working memory, floating-point operations, bytes moved. */
UM_API um_status um_session_cost(const um_session *session, int64_t *arena_bytes, int64_t *flops, int64_t *traffic);

/* -- verify ---------------------------------------------------------------------------------------------- */
/* The file's examples: calls with what they must give, which the author's side has held against eager PyTorch. */
UM_API size_t um_example_count(const um_model *model);
/* Runs them all in a session of its own, made with these options (NULL: the defaults), each from the state before the first
 * call. UM_OK where every output, changed input and state is what the file expects, within the tolerances in it, or where
 * there are no examples. UM_WRONG_RESULT names the first that is not: example, output, index, both values, tolerance.
 * Other statuses are those of um_session_new and um_run. */
UM_API um_status um_verify(um_model *model, const um_session_options *options, um_error *error);

#ifdef __cplusplus
}
#endif
#endif
