/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokendraw: from logits to tokens.
 *
 * Input: a matrix of logits [logits_rows, vocab] and, for every output row, its parameters (temperature, top-k, top-p,
 * min-p, penalties, masks, seed). Output: one token id per row.
 *
 * The token is a pure function of (one row of logits, that row's parameters, seed, stream, offset) and of nothing else:
 * not of the batch, the row's place in it, the number of threads, the SIMD width, the device or the algorithm (except
 * `rejection`, whose contract is another one). docs/semantics.md states that function exactly.
 *
 * General rules
 * - Every function that can fail returns a TokendrawStatus. TOKENDRAW_OK is 0, positive values below 10 are successes
 *   with a remark, all others are failures. No function throws, aborts or prints.
 * - Structs begin with `struct_size`, set by their init function. A library of another version reads only that many
 * bytes, so programs and libraries of different versions work together.
 * - The caller owns all memory it passes in. Nothing is kept after a call returns, except a sampler by its creator.
 * - Thread safety is stated at each function. Two samplers never share state.
 * - A GPU backend is a shared object of its own, libtokendraw_cuda.so.0 or libtokendraw_hip.so.0, looked for once in a
 *   process, where a GPU is first asked for: on LD_LIBRARY_PATH, beside this library, in the system's folders. Without
 *   it, or without a driver or a device, everything works on the CPU. A call leaves the calling thread's current device
 *   as it was.
 */
#ifndef TOKENDRAW_TOKENDRAW_H_
#define TOKENDRAW_TOKENDRAW_H_

#include <stddef.h>
#include <stdint.h>

#define TOKENDRAW_VERSION_MAJOR 0
#define TOKENDRAW_VERSION_MINOR 1
#define TOKENDRAW_VERSION_PATCH 0

#if defined(_WIN32)
#if defined(TOKENDRAW_BUILDING_LIBRARY)
#define TOKENDRAW_API __declspec(dllexport)
#elif defined(TOKENDRAW_STATIC)
#define TOKENDRAW_API
#else
#define TOKENDRAW_API __declspec(dllimport)
#endif
#else
#define TOKENDRAW_API __attribute__((visibility("default")))
#endif

/* In C++ every int32_t is a value of these enums, so that one from elsewhere can be read and refused. */
#ifdef __cplusplus
#define TOKENDRAW_INT32_ENUM : int32_t
extern "C" {
#else
#define TOKENDRAW_INT32_ENUM
#endif

/* ---- Version ---------------------------------------------------------------------------------------------------- */

/* The library's version at run time: major * 10000 + minor * 100 + patch. */
TOKENDRAW_API uint32_t tokendraw_version(void);

/* The same as text, "0.1.0". The string lives as long as the library. */
TOKENDRAW_API const char* tokendraw_version_string(void);

/* ---- Statuses --------------------------------------------------------------------------------------------------- */

/* What a call returned. The values are pinned: they never change meaning. An argument that is refused has a status of
 * its own, named for the field; tokendraw_last_error_message() says what was wrong with it. */
typedef enum TokendrawStatus TOKENDRAW_INT32_ENUM {
  TOKENDRAW_OK = 0,
  /* The GPU could not serve the request and the CPU answered it, as TOKENDRAW_ON_GPU_FAILURE_USE_CPU asks. */
  TOKENDRAW_OK_CPU_FALLBACK = 1,

  TOKENDRAW_ERROR_OUT_OF_MEMORY = 10,
  /* The backend asked for is not part of this installation, or found no usable driver or device. */
  TOKENDRAW_ERROR_BACKEND_UNAVAILABLE = 11,
  /* The device failed while it worked. */
  TOKENDRAW_ERROR_BACKEND_FAILED = 12,
  /* A valid request that this sampler's backend or algorithm cannot serve. */
  TOKENDRAW_ERROR_UNSUPPORTED = 13,
  /* A thread could not be started, or another call of the operating system failed. */
  TOKENDRAW_ERROR_SYSTEM = 14,
  /* A defect of the library itself; please report it with the message. */
  TOKENDRAW_ERROR_INTERNAL = 15,

  /* Refused arguments of functions and of TokendrawSamplerOptions. */
  TOKENDRAW_INVALID_SAMPLER = 100,
  TOKENDRAW_INVALID_OPTIONS = 101,
  TOKENDRAW_INVALID_STRUCT_SIZE = 102,
  TOKENDRAW_INVALID_OUTPUT_POINTER = 103,
  TOKENDRAW_INVALID_BACKEND = 104,
  TOKENDRAW_INVALID_DEVICE = 105,
  TOKENDRAW_INVALID_ALGORITHM = 106,
  TOKENDRAW_INVALID_THREADS = 107,
  TOKENDRAW_INVALID_ON_GPU_FAILURE = 108,
  TOKENDRAW_INVALID_CPU_TARGET = 109,
  TOKENDRAW_INVALID_INDEX = 110,
  TOKENDRAW_INVALID_GPU_WAY = 111,

  /* Refused fields of TokendrawBatch. */
  TOKENDRAW_INVALID_BATCH = 200,
  TOKENDRAW_INVALID_LOGITS = 201,
  TOKENDRAW_INVALID_DTYPE = 202,
  TOKENDRAW_INVALID_LOGITS_MEMORY = 203,
  TOKENDRAW_INVALID_PARAMS_MEMORY = 204,
  TOKENDRAW_INVALID_ROWS = 205,
  TOKENDRAW_INVALID_LOGITS_ROWS = 206,
  TOKENDRAW_INVALID_VOCAB = 207,
  TOKENDRAW_INVALID_ROW_STRIDE = 208,
  TOKENDRAW_INVALID_ROW_INDEX = 209,
  TOKENDRAW_INVALID_TEMPERATURE = 210,
  TOKENDRAW_INVALID_TOP_K = 211,
  TOKENDRAW_INVALID_TOP_P = 212,
  TOKENDRAW_INVALID_MIN_P = 213,
  TOKENDRAW_INVALID_TOP_P_BASE = 214,
  TOKENDRAW_INVALID_SEED = 215,
  TOKENDRAW_INVALID_STREAM = 216,
  TOKENDRAW_INVALID_OFFSET = 217,
  TOKENDRAW_INVALID_RANDOM = 218,
  TOKENDRAW_INVALID_MASK = 219,
  TOKENDRAW_INVALID_MASK_STRIDE = 220,
  TOKENDRAW_INVALID_BIAS = 221,
  TOKENDRAW_INVALID_BIAS_STRIDE = 222,
  TOKENDRAW_INVALID_BIAS_LIST = 223,
  TOKENDRAW_INVALID_HISTORY = 224,
  TOKENDRAW_INVALID_REPETITION_PENALTY = 225,
  TOKENDRAW_INVALID_FREQUENCY_PENALTY = 226,
  TOKENDRAW_INVALID_PRESENCE_PENALTY = 227,
  TOKENDRAW_INVALID_TOKENS = 228,
  /* row_status, kept, kept_mass, logprob or rounds */
  TOKENDRAW_INVALID_OUTPUTS = 229,
  TOKENDRAW_INVALID_WORKSPACE = 230,
  TOKENDRAW_INVALID_WORKSPACE_BYTES = 231,

  /* Refused fields of the building blocks' structs, where they are not named as those above. */
  TOKENDRAW_INVALID_OPERATION = 300, /* the struct's pointer is NULL */
  TOKENDRAW_INVALID_MEMORY = 301,
  TOKENDRAW_INVALID_INPUT = 302,
  TOKENDRAW_INVALID_INPUT_STRIDE = 303,
  TOKENDRAW_INVALID_OUTPUT = 304,
  TOKENDRAW_INVALID_OUTPUT_DTYPE = 305,
  TOKENDRAW_INVALID_OUTPUT_STRIDE = 306,
  TOKENDRAW_INVALID_LOG = 307,
  TOKENDRAW_INVALID_NUMBER = 308,
  TOKENDRAW_INVALID_EXCLUSIVE = 309,
  TOKENDRAW_INVALID_GENERATOR = 310,
  TOKENDRAW_INVALID_KIND = 311,
  TOKENDRAW_INVALID_COUNT = 312,
  TOKENDRAW_INVALID_SUBSEQUENCE = 313,
  TOKENDRAW_INVALID_FORM = 314,
  TOKENDRAW_INVALID_MASKING = 315
} TokendrawStatus;

/* The constant's name, "TOKENDRAW_INVALID_VOCAB"; "TOKENDRAW_UNKNOWN_STATUS" for a value that is none. Thread-safe. */
TOKENDRAW_API const char* tokendraw_status_name(TokendrawStatus status);

/* One sentence about the last call of this thread that failed or returned a remark; "" if there was none. It stays
 * valid until this thread's next call of a function that returns a TokendrawStatus. Thread-safe: each thread has its
 * own. */
TOKENDRAW_API const char* tokendraw_last_error_message(void);

/* What happened to one row: a bit set, written to TokendrawBatch::row_status. 0 is a plain token. */
typedef enum TokendrawRowStatus TOKENDRAW_INT32_ENUM {
  /* A logit was NaN, or a bias or penalty made one (+inf - inf); it counted as -inf. The row has a token if others
     remain. */
  TOKENDRAW_ROW_NAN_LOGIT = 1,
  /* An id in a bias or history list was outside [0, vocab), or was listed before in the same list; it was ignored. */
  TOKENDRAW_ROW_BAD_ID = 2,
  /* A parameter of this row has no meaning (docs/semantics.md, section 3). No token. No other bit is set. */
  TOKENDRAW_ROW_BAD_PARAMETER = 4,
  /* Every logit is -inf: masks, biases or NaN left nothing. No token. */
  TOKENDRAW_ROW_NO_CANDIDATE = 8,
  /* Building blocks: a probability was negative, NaN or infinite; it counted as 0. */
  TOKENDRAW_ROW_BAD_PROBABILITY = 16
} TokendrawRowStatus;

/* "NAN_LOGIT", ... for one bit; "UNKNOWN" for anything else. Thread-safe. */
TOKENDRAW_API const char* tokendraw_row_status_name(uint32_t bit);

/* ---- Choices ---------------------------------------------------------------------------------------------------- */

typedef enum TokendrawBackend TOKENDRAW_INT32_ENUM {
  TOKENDRAW_BACKEND_AUTO = 0, /* the first that is available and has the algorithm of CUDA, HIP and the CPU */
  TOKENDRAW_BACKEND_CPU = 1,
  TOKENDRAW_BACKEND_CUDA = 2,
  TOKENDRAW_BACKEND_HIP = 3
} TokendrawBackend;

/* How the token is found. All but `rejection` return the same token for the same row, parameters and seed. */
typedef enum TokendrawAlgorithm TOKENDRAW_INT32_ENUM {
  TOKENDRAW_ALGORITHM_AUTO = 0,
  /* Group maxima give a threshold, the few logits above it decide; falls through to `refine` where they cannot. */
  TOKENDRAW_ALGORITHM_CANDIDATES = 1,
  /* Narrows an interval of logits around the cut until few are left. Meant for flat rows; always exact. */
  TOKENDRAW_ALGORITHM_REFINE = 2,
  /* Sorts the row and follows docs/semantics.md sentence by sentence. Slow; the measure of all others. CPU only. */
  TOKENDRAW_ALGORITHM_REFERENCE = 3,
  /* Dual-pivot rejection sampling (docs/semantics.md, section 8): the same distribution, but another token for the same
   * seed. Cannot be used with random numbers handed in. */
  TOKENDRAW_ALGORITHM_REJECTION = 4
} TokendrawAlgorithm;

/* Which blocks of a GPU work on a row together; the token is the same. A batch that a way cannot serve is served as
 * AUTO would. Algorithm `rejection` has the first way alone, BLOCK, whatever is asked for. */
typedef enum TokendrawGpuWay TOKENDRAW_INT32_ENUM {
  TOKENDRAW_GPU_WAY_AUTO = 0, /* by the batch's shape and the device; tokendraw_describe_plan says which */
  /* One block of 512 threads reads a row. Serves every batch. */
  TOKENDRAW_GPU_WAY_BLOCK = 1,
  /* The same with 256 threads, so that twice as many rows are under way: for many rows. Serves every batch on NVIDIA
   * GPUs whose blocks may have 112 KB of shared memory (compute capability 8.0, 8.7, 9.0, 10.x and 11.0). */
  TOKENDRAW_GPU_WAY_SMALL_BLOCK = 2,
  /* Several blocks read a row and meet between kernels. Serves at most 64 rows. */
  TOKENDRAW_GPU_WAY_SPLIT = 3,
  /* A cluster of blocks holds a row in shared memory, so that it is read once. Serves rows that find room there, on
   * devices with clusters (compute capability 9.0 and later). */
  TOKENDRAW_GPU_WAY_CLUSTER = 4
} TokendrawGpuWay;

typedef enum TokendrawDtype TOKENDRAW_INT32_ENUM {
  TOKENDRAW_DTYPE_F32 = 0,
  TOKENDRAW_DTYPE_F16 = 1,
  TOKENDRAW_DTYPE_BF16 = 2
} TokendrawDtype;

typedef enum TokendrawMemory TOKENDRAW_INT32_ENUM {
  TOKENDRAW_MEMORY_HOST = 0,
  TOKENDRAW_MEMORY_DEVICE = 1 /* memory of the sampler's device; never accepted by the CPU backend */
} TokendrawMemory;

/* What top_p is a share of (docs/semantics.md, section 5). */
typedef enum TokendrawTopPBase TOKENDRAW_INT32_ENUM {
  TOKENDRAW_TOP_P_AFTER_TOP_K = 0, /* the tokens that top_k keeps (Hugging Face, FlashInfer "top_k_first") */
  TOKENDRAW_TOP_P_ALL = 1,         /* the whole row (FlashInfer "joint", SGLang) */
  TOKENDRAW_TOP_P_AFTER_ALL = 2    /* the tokens that top_k and min_p keep (vLLM) */
} TokendrawTopPBase;

typedef enum TokendrawOnGpuFailure TOKENDRAW_INT32_ENUM {
  TOKENDRAW_ON_GPU_FAILURE_USE_CPU = 0,     /* answer on the CPU, with the same tokens; the call returns
                                             * TOKENDRAW_OK_CPU_FALLBACK and the message says why */
  TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR = 1 /* return the error */
} TokendrawOnGpuFailure;

/* Lower-case names: "cpu", "candidates", "bf16", "after-top-k". "unknown" for a value that is none. Thread-safe. */
TOKENDRAW_API const char* tokendraw_backend_name(TokendrawBackend backend);
TOKENDRAW_API const char* tokendraw_algorithm_name(TokendrawAlgorithm algorithm);
TOKENDRAW_API const char* tokendraw_gpu_way_name(TokendrawGpuWay way);
TOKENDRAW_API const char* tokendraw_dtype_name(TokendrawDtype dtype);
TOKENDRAW_API const char* tokendraw_top_p_base_name(TokendrawTopPBase base);

/* ---- Backends and devices --------------------------------------------------------------------------------------- */

typedef struct TokendrawBackendInfo {
  size_t struct_size;
  TokendrawBackend backend;
  int32_t available;    /* 1 if it can be loaded and finds a device, else 0; looked up once in a process */
  int32_t device_count; /* 1 for the CPU */
  char reason[160];     /* why it is not available; "" if it is */
} TokendrawBackendInfo;

typedef struct TokendrawDeviceInfo {
  size_t struct_size;
  TokendrawBackend backend;
  int32_t device;        /* the index to put into TokendrawSamplerOptions::device */
  char name[128];        /* of the processor; "" if the system does not tell */
  char target[32];       /* the instruction set used: "AVX3", "AVX2", "SSE4", "NEON", ... or an architecture, "sm_90" */
  int32_t compute_units; /* hardware threads of a CPU, multiprocessors of a GPU */
  int32_t simd_width_f32; /* floats in one vector of `target`, or lanes in a warp or wave */
  uint64_t memory_bytes;  /* of the device; 0 if the system does not tell */
} TokendrawDeviceInfo;

/* How many backends this version knows, available or not (TOKENDRAW_BACKEND_CPU comes first). Thread-safe. */
TOKENDRAW_API int32_t tokendraw_get_backend_count(void);

/* Facts about backend `index`, 0 <= index < tokendraw_get_backend_count(). `info->struct_size` must be set.
 * Thread-safe. Errors: INVALID_INDEX, INVALID_OUTPUT_POINTER, INVALID_STRUCT_SIZE. */
TOKENDRAW_API TokendrawStatus tokendraw_get_backend_info(int32_t index, TokendrawBackendInfo* info);

/* Facts about device `device` of an available backend. `info->struct_size` must be set. Thread-safe.
 * Errors: INVALID_BACKEND, BACKEND_UNAVAILABLE, INVALID_DEVICE, INVALID_OUTPUT_POINTER, INVALID_STRUCT_SIZE, and what
 * the driver reports, BACKEND_FAILED above all. */
TOKENDRAW_API TokendrawStatus tokendraw_get_device_info(TokendrawBackend backend, int32_t device,
                                                        TokendrawDeviceInfo* info);

/* The SIMD targets that this library holds and this processor runs, best first, as names for
 * TokendrawSamplerOptions::cpu_target. Returns NULL past the last. Thread-safe. */
TOKENDRAW_API const char* tokendraw_get_cpu_target_name(int32_t index);

/* ---- Sampler ---------------------------------------------------------------------------------------------------- */

/* Holds threads, device handles and memory; no state that could change a token. */
typedef struct TokendrawSampler TokendrawSampler;

typedef struct TokendrawSamplerOptions {
  size_t struct_size;
  TokendrawBackend backend;             /* AUTO */
  int32_t device;                       /* of the backend that serves; -1: the first; the CPU has only device 0 */
  TokendrawAlgorithm algorithm;         /* AUTO */
  int32_t threads;                      /* CPU threads that share a call's rows, the caller's included: 1 to 256;
                                         * 0 (default): one per hardware thread. For a GPU: those of the CPU that
                                         * stands in for it */
  TokendrawOnGpuFailure on_gpu_failure; /* USE_CPU */
  const char* cpu_target;               /* SIMD target by name, NULL (default): the best; read during creation only */
  TokendrawGpuWay gpu_way;              /* AUTO; without effect on the CPU */
} TokendrawSamplerOptions;

/* Sets struct_size and the defaults given above. NULL is ignored. Thread-safe. */
TOKENDRAW_API void tokendraw_init_sampler_options(TokendrawSamplerOptions* options);

/* Creates a sampler; NULL options mean the defaults. Starts threads - 1 threads, which sleep between calls, but none
 * for a GPU with on_gpu_failure RETURN_ERROR.
 *
 * A backend may be unable to serve: it is not available (BACKEND_UNAVAILABLE), its device cannot be opened, or the
 * algorithm is one that runs on the CPU only (UNSUPPORTED). With on_gpu_failure USE_CPU the CPU then serves all calls
 * of the sampler, the status is TOKENDRAW_OK_CPU_FALLBACK and the message gives the reason; with RETURN_ERROR the
 * creation fails. Backend AUTO chooses the CPU without a remark where no GPU is available or the algorithm is the
 * CPU's; a GPU that is available and cannot be opened is a failure like that of a backend asked for by name.
 *
 * On failure *sampler is NULL. Thread-safe.
 * Errors: INVALID_OUTPUT_POINTER, INVALID_STRUCT_SIZE, INVALID_BACKEND, INVALID_DEVICE, INVALID_ALGORITHM,
 * INVALID_THREADS, INVALID_ON_GPU_FAILURE, INVALID_CPU_TARGET, INVALID_GPU_WAY, BACKEND_UNAVAILABLE, BACKEND_FAILED,
 * UNSUPPORTED, OUT_OF_MEMORY, SYSTEM. */
TOKENDRAW_API TokendrawStatus tokendraw_create_sampler(const TokendrawSamplerOptions* options,
                                                       TokendrawSampler** sampler);

/* Ends the threads and frees everything. NULL is ignored. No call on the sampler may be under way, nor, on a GPU, work
 * that a call enqueued; a graph that captured such work must not be launched any more. */
TOKENDRAW_API void tokendraw_destroy_sampler(TokendrawSampler* sampler);

typedef struct TokendrawSamplerInfo {
  size_t struct_size;
  TokendrawBackend backend; /* what serves the calls: never AUTO */
  int32_t device;
  TokendrawAlgorithm algorithm; /* as asked for; the choice for a batch is in tokendraw_describe_plan */
  int32_t threads;              /* of the CPU; 0: no CPU stands in for the GPU */
  char target[32];              /* as in TokendrawDeviceInfo */
} TokendrawSamplerInfo;

/* What the sampler is made of. `info->struct_size` must be set. Thread-safe.
 * Errors: INVALID_SAMPLER, INVALID_OUTPUT_POINTER, INVALID_STRUCT_SIZE. */
TOKENDRAW_API TokendrawStatus tokendraw_get_sampler_info(const TokendrawSampler* sampler, TokendrawSamplerInfo* info);

/* ---- Batch ------------------------------------------------------------------------------------------------------ */

/*
 * One call's input and output. tokendraw_init_batch() sets every field to "not given" or "off"; the caller sets the
 * rest.
 *
 * An output row r, 0 <= r < rows, is one request: it has its own parameters and its own token. It reads the logits of
 * row r, or of row row_index[r], so that several draws can come from one row of logits. Everything else (parameters,
 * mask, bias, history, outputs) is indexed by r.
 *
 * A parameter comes as a scalar for all rows or, where its `..._per_row` pointer is not NULL, as an array of `rows`
 * values, which then counts alone. A scalar out of range is refused by the call with a status; a value of an array that
 * is out of range gives its row TOKENDRAW_ROW_BAD_PARAMETER and leaves the other rows alone.
 *
 * `logits_memory` says where the logits lie, `params_memory` where everything else does, inputs and outputs. On the CPU
 * both are HOST. On a GPU both are DEVICE for tokendraw_sample; for tokendraw_sample_host params_memory is HOST and
 * logits_memory either; functions that read no array accept any there. Arrays must be aligned for their element type.
 * Inputs must not change during the call (on a GPU: until its work on the stream is done) and outputs must not overlap
 * inputs or each other.
 */
typedef struct TokendrawBatch {
  size_t struct_size;

  /* Logits */
  const void* logits; /* [logits_rows, vocab] of dtype; rows row_stride elements apart */
  TokendrawDtype dtype;
  TokendrawMemory logits_memory; /* HOST */
  TokendrawMemory params_memory; /* HOST */
  int32_t vocab;                 /* 1 to 2^21 */
  int64_t rows;                  /* output rows: 0 to 2^31 - 1; 0 is a valid call that does nothing */
  int64_t logits_rows;           /* rows of logits; 0: the same as rows */
  int64_t row_stride;            /* elements from one row of logits to the next, >= vocab; 0: vocab */
  const int32_t* row_index;      /* [rows], values in [0, logits_rows), else BAD_PARAMETER; NULL: row r reads row r */

  /* Filters. In brackets: the value that switches the filter off, which tokendraw_init_batch() sets. */
  float temperature; /* >= 0, not NaN; 0 is greedy [1] */
  const float* temperature_per_row;
  int32_t top_k; /* <= 0 or >= vocab: off [0] */
  const int32_t* top_k_per_row;
  float top_p; /* not NaN; >= 1: off; <= 0: the best token only [1] */
  const float* top_p_per_row;
  float min_p; /* not NaN, <= 1; <= 0: off [0] */
  const float* min_p_per_row;
  TokendrawTopPBase top_p_base; /* [AFTER_TOP_K] */
  int32_t invalid_token;        /* written for a row without a token [-1] */

  /* Randomness */
  uint64_t seed; /* belongs to the request [0] */
  const uint64_t* seed_per_row;
  int64_t stream; /* tells apart rows that share seed and offset: 0 to 2^32 - 1; -1: the row number r, or 0 where
                   * seed_per_row is given [-1] */
  const uint32_t* stream_per_row;
  uint64_t offset; /* the number of tokens this request has drawn before [0] */
  const uint64_t* offset_per_row;
  const uint64_t* random_u64; /* [rows] random numbers to use instead of seed, stream and offset; NULL: none */
  const float* random_f32;    /* [rows] the same as floats in [0, 1), else BAD_PARAMETER; at most one of the two */

  /* Token mask: bit (id % 32) of word mask[r * mask_row_stride + id / 32]; 1: allowed, 0: forbidden. */
  const uint32_t* mask;    /* NULL: every token is allowed */
  int64_t mask_row_stride; /* words, >= ceil(vocab / 32), or 0: one mask for all rows */

  /* Dense bias: added to the logits. */
  const float* bias;       /* [rows, vocab] or [vocab]; NULL: none */
  int64_t bias_row_stride; /* elements, >= vocab, or 0: one bias for all rows */

  /* Sparse bias: row r adds bias_values[j] to the logit of bias_ids[j] for bias_offsets[r] <= j < bias_offsets[r + 1].
   * Not together with a dense bias. Offsets that are not ascending within [0, bias_entries] give BAD_PARAMETER. */
  const int32_t* bias_ids;     /* [bias_entries] */
  const float* bias_values;    /* [bias_entries] */
  const int64_t* bias_offsets; /* [rows + 1]; NULL: none */
  int64_t bias_entries;

  /* History: the tokens that the penalties concern, as (id, count), each id once a row; offsets as for the sparse bias.
   */
  const int32_t* history_ids;     /* [history_entries] */
  const int32_t* history_counts;  /* [history_entries] times generated; 0: in the prompt only; NULL: 1 each */
  const int64_t* history_offsets; /* [rows + 1]; NULL: none */
  int64_t history_entries;
  float repetition_penalty; /* > 0, finite: divides positive and multiplies other logits of every listed id [1] */
  const float* repetition_penalty_per_row;
  float frequency_penalty; /* finite: subtracted once per count [0] */
  const float* frequency_penalty_per_row;
  float presence_penalty; /* finite: subtracted once where count > 0 [0] */
  const float* presence_penalty_per_row;

  /* Outputs */
  int32_t* tokens;      /* [rows] */
  uint32_t* row_status; /* [rows] TokendrawRowStatus bits; NULL: not wanted */
  int64_t* kept;        /* [rows] number of tokens that could have been drawn; 0 without a token; NULL: not wanted */
  uint64_t* kept_mass;  /* [rows] their summed weight; the heaviest token weighs 2^42; NULL: not wanted */
  float* logprob;       /* [rows] natural log of the token's probability under softmax(effective logits / temperature)
                         * over the whole row, before the filters (greedy rows: temperature 1); within 1e-6, then rounded
                         * to float; NaN without a token; NULL: not wanted */

  /* The first version of this struct ends here: a caller's struct_size tells whether what follows is there. */
  int32_t* rounds; /* [rows] rounds that algorithm rejection took for the token (docs/semantics.md, section 8), 1 to 65;
                    * 0 for a greedy row, without a token, and for every other algorithm; NULL: not wanted */
} TokendrawBatch;

/* Sets struct_size and every field's "not given" or "off". NULL is ignored. Thread-safe.
 *
 * It is a macro, so that a program tells the library how large its struct is. The function of that name, which programs
 * call that were compiled with the first version of this header, writes the first version's bytes alone. */
TOKENDRAW_API void tokendraw_init_batch(TokendrawBatch* batch);
#define tokendraw_init_batch(batch) tokendraw_init_sized_batch((batch), sizeof(TokendrawBatch))

/* The same for a struct of `struct_size` bytes: sizeof(TokendrawBatch) of some version. Larger ones than this library
 * knows get this library's size, and what it does not know of them is set to zero. A size below the first version's
 * leaves the struct alone. For bindings of other languages, which cannot use the macro. */
TOKENDRAW_API void tokendraw_init_sized_batch(TokendrawBatch* batch, size_t struct_size);

/* ---- Sampling --------------------------------------------------------------------------------------------------- */

/* Writes to *bytes the size of the workspace that tokendraw_sample needs for this batch. It depends on vocab, rows and
 * entries, on which lists are given, and on the sampler; never on values in arrays. It may be 0, and a workspace of
 * NULL will do then: on a GPU rejection needs none without lists. Larger vocab, rows and entries never need less, so a
 * workspace for the largest batch serves all. Thread-safe. Errors: INVALID_SAMPLER, INVALID_OUTPUT_POINTER, and those
 * of the batch. */
TOKENDRAW_API TokendrawStatus tokendraw_get_workspace_bytes(const TokendrawSampler* sampler,
                                                            const TokendrawBatch* batch, size_t* bytes);

/* Draws one token per row.
 * workspace: workspace_bytes bytes at any alignment, in the memory of the sampler's device, for this call alone until
 * it completes. Its content on entry does not matter. Allocates nothing and prints nothing. If it fails, the outputs
 * may be partly written. Thread-safe: several threads may call with one sampler, each with a workspace of its own; on a
 * CPU sampler of more than one thread such calls wait for one another, so give each thread a sampler of its own where
 * that matters.
 *
 * stream: on a GPU the caller's stream (a cudaStream_t or hipStream_t of the sampler's device; NULL: the default
 * stream), ignored by the CPU, which has finished on return. The call enqueues its work there and returns: it waits for
 * nothing and reads no device memory, so it can be captured into a graph, which, launched again, reads the arrays anew.
 * Calls on several streams may run at once, each with a workspace of its own. Host memory is not involved: what the
 * batch's fields held may change after return. What goes wrong later, while the work runs, is reported by the vendor's
 * next call that synchronises, not here.
 *
 * If the work cannot be enqueued (a launch that fails, a device that is lost or out of memory, a batch that the backend
 * does not support), then, with on_gpu_failure USE_CPU, the call copies the arrays to the host, draws there, copies the
 * outputs to where they belong and returns TOKENDRAW_OK_CPU_FALLBACK with the reason in the message, "cuda: ...; the
 * cpu answered". Such a call waits for the stream, allocates host memory, and waits for other such calls of the
 * sampler; the next call tries the GPU again. If the copies fail too it returns BACKEND_FAILED and the message has both
 * reasons. While the stream is captured the CPU cannot answer: the error is returned, as it is with RETURN_ERROR.
 *
 * Errors: INVALID_SAMPLER, those of the batch, INVALID_WORKSPACE, INVALID_WORKSPACE_BYTES, UNSUPPORTED, BACKEND_FAILED,
 * OUT_OF_MEMORY. */
TOKENDRAW_API TokendrawStatus tokendraw_sample(TokendrawSampler* sampler, const TokendrawBatch* batch, void* workspace,
                                               size_t workspace_bytes, void* stream);

/* The convenient form: everything in host memory, a workspace kept in the sampler and enlarged when a batch needs more
 * (the only allocation), finished when it returns. Thread-safe: calls on one sampler wait for one another.
 *
 * On a GPU the inputs are copied to device memory that the sampler keeps, likewise enlarged when a batch needs more, on
 * a stream of the sampler's own, and the outputs are copied back. The logits may lie in device memory instead: whatever
 * writes them must have finished. With on_gpu_failure USE_CPU, if anything of this fails, also while the work runs, the
 * CPU answers from the caller's arrays as for tokendraw_sample; arrays in host memory are safe whatever became of the
 * device.
 *
 * Errors: as tokendraw_sample, but for the workspace. */
TOKENDRAW_API TokendrawStatus tokendraw_sample_host(TokendrawSampler* sampler, const TokendrawBatch* batch);

/* Writes a text about what tokendraw_sample would run for this batch and why: "key: value" lines, zero-terminated, cut
 * to `capacity` bytes. *needed (may be NULL) receives the bytes of the whole text with its zero. `text` may be NULL if
 * capacity is 0. Reads no array. Thread-safe.
 * Errors: INVALID_SAMPLER, INVALID_OUTPUT_POINTER, and those of the batch. */
TOKENDRAW_API TokendrawStatus tokendraw_describe_plan(const TokendrawSampler* sampler, const TokendrawBatch* batch,
                                                      char* text, size_t capacity, size_t* needed);

/* The same for a device that need not be there: what a sampler on a device with these facts would run.
 * device: `backend`, `target` and `compute_units` count and, on a GPU, `simd_width_f32`, which is 32 or 64; on the CPU
 * compute_units is the number of threads. Of an AMD GPU whose `target` is one of those in docs/amd.md the two numbers
 * may be 0: the largest of that architecture is meant. `device->struct_size` must be set. The batch's memory may be of
 * any kind.
 * Thread-safe.
 * Errors: INVALID_DEVICE, INVALID_STRUCT_SIZE, INVALID_OUTPUT_POINTER, INVALID_BACKEND, INVALID_ALGORITHM, UNSUPPORTED
 * for an algorithm that runs on the CPU only, and those of the batch. */
TOKENDRAW_API TokendrawStatus tokendraw_describe_device_plan(const TokendrawDeviceInfo* device,
                                                             TokendrawAlgorithm algorithm, const TokendrawBatch* batch,
                                                             char* text, size_t capacity, size_t* needed);

/* ---- Building blocks --------------------------------------------------------------------------------------------
 *
 * Operations on matrices of rows, each independent of the others, with the same bits on every backend, whatever the
 * batch, the number of threads or the device (docs/blocks.md says what is computed, and how exactly).
 *
 * Each has a struct that its init function fills, and two functions. They share these rules:
 *
 * tokendraw_compute_x(sampler, &x, stream): the arrays lie where the sampler's backend works: HOST for the CPU, which
 * has finished on return and ignores `stream`, DEVICE for a GPU, whose work is enqueued on the caller's stream as
 * tokendraw_sample does it: no waiting, no allocation, no workspace, may be captured into a graph. If it cannot be
 * enqueued and the CPU stands in, that call copies, waits, allocates host memory and returns TOKENDRAW_OK_CPU_FALLBACK.
 *
 * tokendraw_compute_x_host(sampler, &x): the arrays lie in host memory; finished on return. On a GPU they are copied to
 * and from memory that the sampler keeps, and the CPU stands in for whatever fails, if the sampler's options say so.
 *
 * The sampler lends its device and threads; its algorithm does not matter. Several threads may call with one sampler,
 * under the conditions of tokendraw_sample and tokendraw_sample_host.
 *
 * `memory` is one for all arrays. rows is 0 to 2^31 - 1; 0 is a valid call that does nothing. A stride counts elements
 * from one row to the next, at least the row's length; 0 means that. Elements between rows are neither read nor
 * written. Arrays are aligned for their element type and do not overlap, but an output may be the input itself (the
 * same address, element size and stride): in place. row_status [rows] takes TokendrawRowStatus bits and may be NULL.
 *
 * Errors of all: INVALID_SAMPLER, INVALID_OPERATION, INVALID_STRUCT_SIZE, INVALID_MEMORY (also where the memory is not
 * the one that the call takes), INVALID_ROWS, INVALID_INPUT, INVALID_INPUT_STRIDE, INVALID_OUTPUT,
 * INVALID_OUTPUT_STRIDE, INVALID_OUTPUTS for row_status, BACKEND_FAILED, OUT_OF_MEMORY; and those named at a struct. */

/* Softmax: probabilities of the logits of a row divided by the row's temperature, or their natural logarithms.
 *
 * Probabilities are the contract's integer weights divided by their integer sum: within 1e-6 of the exact value, a row
 * sums to 1 within 1e-6 (as f32), 0 for tokens lighter than about 2^-42 of the heaviest. Logarithms are within 1e-6
 * plus rounding of the exact value, however small the probability. f16 and bf16 outputs are rounded once.
 * NaN counts as -inf (NAN_LOGIT); -inf has probability 0; of a row with +inf those logits share 1. A row whose logits
 * are all -inf has no distribution (NO_CANDIDATE): probabilities 0, logarithms -inf. The same for a temperature of an
 * array that is NaN or negative (BAD_PARAMETER). Temperature 0 gives all to the first of the largest logits. */
typedef struct TokendrawSoftmax {
  size_t struct_size;
  const void* input; /* [rows, vocab] of dtype */
  TokendrawDtype dtype;
  TokendrawMemory memory; /* HOST */
  int32_t vocab;          /* 1 to 2^21 */
  int64_t rows;
  int64_t input_stride;
  float temperature; /* >= 0, not NaN [1] */
  const float* temperature_per_row;
  int32_t log;  /* 1: natural logarithms of the probabilities [0] */
  void* output; /* [rows, vocab] of output_dtype; may be input where dtypes have the same size */
  TokendrawDtype output_dtype;
  int64_t output_stride;
  uint32_t* row_status;
} TokendrawSoftmax;

/* Sets struct_size and the defaults given above in brackets, everything else to 0. NULL is ignored. Thread-safe. */
TOKENDRAW_API void tokendraw_init_softmax(TokendrawSoftmax* softmax);

/* Errors: those of all building blocks, INVALID_VOCAB, INVALID_DTYPE, INVALID_OUTPUT_DTYPE, INVALID_LOG,
 * INVALID_TEMPERATURE. */
TOKENDRAW_API TokendrawStatus tokendraw_compute_softmax(TokendrawSampler* sampler, const TokendrawSoftmax* softmax,
                                                        void* stream);
TOKENDRAW_API TokendrawStatus tokendraw_compute_softmax_host(TokendrawSampler* sampler,
                                                             const TokendrawSoftmax* softmax);

/* Prefix sums along rows: output[i] is the sum of input[0] to input[i], or, exclusive, to input[i - 1].
 *
 * F32: probabilities, or any numbers that are finite and not negative (others count as 0: BAD_PROBABILITY). They are
 * summed as integers whose unit is 2^-41 of the power of two at or below the row's largest number: sums never fall, and
 * are within half a float's last place plus 2^-42 of the largest number for each element summed of the exact sum: 1e-6
 * of it at most, for every row.
 * U64: modulo 2^64. */
typedef enum TokendrawNumber TOKENDRAW_INT32_ENUM {
  TOKENDRAW_NUMBER_F32 = 0,
  TOKENDRAW_NUMBER_U64 = 1
} TokendrawNumber;

typedef struct TokendrawPrefixSum {
  size_t struct_size;
  const void* input; /* [rows, vocab] of number */
  TokendrawNumber number;
  TokendrawMemory memory; /* HOST */
  int32_t vocab;          /* 1 to 2^21 */
  int64_t rows;
  int64_t input_stride;
  int32_t exclusive; /* 1: without the element itself [0] */
  void* output;      /* [rows, vocab] of number; may be input */
  int64_t output_stride;
  uint32_t* row_status;
} TokendrawPrefixSum;

/* As tokendraw_init_softmax. */
TOKENDRAW_API void tokendraw_init_prefix_sum(TokendrawPrefixSum* sum);

/* Errors: those of all building blocks, INVALID_VOCAB, INVALID_NUMBER, INVALID_EXCLUSIVE. */
TOKENDRAW_API TokendrawStatus tokendraw_compute_prefix_sum(TokendrawSampler* sampler, const TokendrawPrefixSum* sum,
                                                           void* stream);
TOKENDRAW_API TokendrawStatus tokendraw_compute_prefix_sum_host(TokendrawSampler* sampler,
                                                                const TokendrawPrefixSum* sum);

/* Random numbers: output[i] of a row is made of the word, or of the two words, number offset + i (2 i for U64) of the
 * generator's sequence.
 *
 * PHILOX: Philox4x32-10. The words are cuRAND's and rocRAND's for the same seed, subsequence and offset. The random
 * number that tokendraw_sample draws with for (seed, stream, offset) is the U64 of subsequence `stream` at word offset
 * 4 * offset.
 * XORWOW: the words of cuRAND's device generator for the same seed and offset at subsequence 0; it has no other. */
typedef enum TokendrawGenerator TOKENDRAW_INT32_ENUM {
  TOKENDRAW_GENERATOR_PHILOX = 0,
  TOKENDRAW_GENERATOR_XORWOW = 1
} TokendrawGenerator;

typedef enum TokendrawRandomKind TOKENDRAW_INT32_ENUM {
  TOKENDRAW_RANDOM_U32 = 0,         /* a word */
  TOKENDRAW_RANDOM_U64 = 1,         /* two words, the first one low */
  TOKENDRAW_RANDOM_F32 = 2,         /* float in [0, 1): the upper 24 bits of a word, times 2^-24 */
  TOKENDRAW_RANDOM_F32_POSITIVE = 3 /* float in (0, 1]: word * 2^-32 + 2^-33, as curand_uniform */
} TokendrawRandomKind;

typedef struct TokendrawRandom {
  size_t struct_size;
  TokendrawGenerator generator; /* PHILOX */
  TokendrawRandomKind kind;     /* U32 */
  TokendrawMemory memory;       /* HOST */
  int64_t rows;
  int64_t count; /* numbers in a row: 1 to 2^40 */
  uint64_t seed; /* [0] */
  const uint64_t* seed_per_row;
  int64_t subsequence; /* 0 to 2^63 - 1; -1: the row number, or 0 where seed_per_row is given or for XORWOW, which takes
                        * no other [-1] */
  const uint64_t* subsequence_per_row; /* not for XORWOW */
  uint64_t offset;                     /* words of the sequence to leave out [0] */
  const uint64_t* offset_per_row;
  void* output;          /* [rows, count] of uint32_t, uint64_t or float */
  int64_t output_stride; /* elements, >= count; 0: count */
} TokendrawRandom;

/* As tokendraw_init_softmax. */
TOKENDRAW_API void tokendraw_init_random(TokendrawRandom* random);

/* Errors: those of all building blocks but for the input's, INVALID_GENERATOR, INVALID_KIND, INVALID_COUNT,
 * INVALID_SEED, INVALID_SUBSEQUENCE, INVALID_OFFSET. */
TOKENDRAW_API TokendrawStatus tokendraw_fill_random(TokendrawSampler* sampler, const TokendrawRandom* random,
                                                    void* stream);
TOKENDRAW_API TokendrawStatus tokendraw_fill_random_host(TokendrawSampler* sampler, const TokendrawRandom* random);

/* Filters: what temperature, top_k, top_p and min_p keep of each row, as in sampling (docs/semantics.md, sections 3 to
 * 5), written as probabilities that sum to 1 over what is kept, or as the row with the rest masked out; and, if wanted,
 * a token drawn from it.
 *
 * LOGITS: kept sets, kept, kept_mass and tokens are those of tokendraw_sample for the same parameters.
 * PROBABILITIES (F32, in any scale): likewise, but a weight is an integer multiple of the unit that prefix sums have,
 * and min_p is a share of the largest weight; what is no probability counts as 0 (BAD_PROBABILITY). temperature
 * stays 1. A row without a candidate (NO_CANDIDATE) or with a bad parameter (BAD_PARAMETER) is all masked out. */
typedef enum TokendrawForm TOKENDRAW_INT32_ENUM {
  TOKENDRAW_FORM_LOGITS = 0,
  TOKENDRAW_FORM_PROBABILITIES = 1
} TokendrawForm;

typedef struct TokendrawFilter {
  size_t struct_size;
  const void* input; /* [rows, vocab] of dtype */
  TokendrawForm form;
  TokendrawDtype dtype;   /* F32 for probabilities */
  TokendrawMemory memory; /* HOST */
  int32_t vocab;          /* 1 to 2^21 */
  int64_t rows;
  int64_t input_stride;
  float temperature; /* as in TokendrawBatch, also below [1] */
  const float* temperature_per_row;
  int32_t top_k; /* [0] */
  const int32_t* top_k_per_row;
  float top_p; /* [1] */
  const float* top_p_per_row;
  float min_p; /* [0] */
  const float* min_p_per_row;
  TokendrawTopPBase top_p_base; /* [AFTER_TOP_K] */
  int32_t masking; /* 0: probabilities; 1: the input's values, as float, where kept, elsewhere -inf for logits, 0 for
                    * probabilities [0] */
  float* output;   /* [rows, vocab]; may be input where that is F32; NULL: not wanted */
  int64_t output_stride;
  int32_t* tokens;       /* [rows] a token drawn from what is kept; NULL: not wanted */
  int32_t invalid_token; /* for a row without one [-1] */
  uint64_t seed;         /* seed, stream and offset as in TokendrawBatch */
  const uint64_t* seed_per_row;
  int64_t stream; /* [-1] */
  const uint32_t* stream_per_row;
  uint64_t offset;
  const uint64_t* offset_per_row;
  const uint64_t* random_u64; /* [rows] numbers to draw with instead; NULL: none */
  uint32_t* row_status;
  int64_t* kept;       /* [rows] number of kept elements that weigh something; NULL: not wanted */
  uint64_t* kept_mass; /* [rows] their summed weight; NULL: not wanted */
} TokendrawFilter;

/* As tokendraw_init_softmax. */
TOKENDRAW_API void tokendraw_init_filter(TokendrawFilter* filter);

/* Errors: those of all building blocks, INVALID_VOCAB, INVALID_FORM, INVALID_DTYPE, INVALID_TEMPERATURE, INVALID_TOP_K,
 * INVALID_TOP_P, INVALID_MIN_P, INVALID_TOP_P_BASE, INVALID_MASKING, INVALID_TOKENS, INVALID_SEED, INVALID_STREAM,
 * INVALID_OFFSET, INVALID_RANDOM. */
TOKENDRAW_API TokendrawStatus tokendraw_apply_filter(TokendrawSampler* sampler, const TokendrawFilter* filter,
                                                     void* stream);
TOKENDRAW_API TokendrawStatus tokendraw_apply_filter_host(TokendrawSampler* sampler, const TokendrawFilter* filter);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TOKENDRAW_TOKENDRAW_H_ */
