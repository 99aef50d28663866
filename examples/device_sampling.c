/* SPDX-License-Identifier: Apache-2.0 */
/* Logits, parameters and tokens in the memory of an NVIDIA GPU: tokendraw_sample on a stream, for a few steps.
 *
 * What to see here:
 * - Both memories of the batch are DEVICE; the call enqueues its work on the stream, returns at once and allocates
 *   nothing. The workspace is device memory, too, as large as the library asks.
 * - Each request owns its seed and its offset, the number of tokens it has drawn. Between the steps only the offsets
 *   change, in device memory.
 * - The CPU draws the same tokens from the same numbers.
 */

#include <cuda_runtime_api.h>
#include <stdint.h>
#include <stdio.h>
#include <tokendraw/tokendraw.h>

enum { kRows = 4, kVocab = 1000, kSteps = 5 };

static float logits[kRows][kVocab];
static const float temperature[kRows] = {1.0f, 0.7f, 0.0f, 1.3f}; /* the third request is greedy */
static const int32_t top_k[kRows] = {50, 0, 0, 200};
static const float top_p[kRows] = {0.9f, 0.95f, 1.0f, 1.0f};
static const uint64_t seed[kRows] = {1, 22, 333, 4444};

static int cuda_ok(cudaError_t code) {
  if (code != cudaSuccess) fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(code));
  return code == cudaSuccess;
}

static int draw_ok(TokendrawStatus status) {
  if (status != TOKENDRAW_OK) {
    fprintf(stderr, "%s: %s\n", tokendraw_status_name(status), tokendraw_last_error_message());
  }
  return status == TOKENDRAW_OK;
}

/* Copies `bytes` bytes to new device memory; NULL if that fails. */
static void* to_device(const void* host, size_t bytes) {
  void* device = NULL;
  if (!cuda_ok(cudaMalloc(&device, bytes))) return NULL;
  if (cuda_ok(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice))) return device;
  cudaFree(device);
  return NULL;
}

static void set_choices(TokendrawBatch* batch) {
  tokendraw_init_batch(batch);
  batch->vocab = kVocab;
  batch->rows = kRows;
}

/* The tokens of the CPU for one step; 0 on failure. */
static int draw_on_cpu(TokendrawSampler* sampler, const uint64_t* offset, int32_t* tokens) {
  TokendrawBatch batch;
  set_choices(&batch);
  batch.logits = logits;
  batch.temperature_per_row = temperature;
  batch.top_k_per_row = top_k;
  batch.top_p_per_row = top_p;
  batch.seed_per_row = seed;
  batch.offset_per_row = offset;
  batch.tokens = tokens;
  return draw_ok(tokendraw_sample_host(sampler, &batch));
}

/* The steps; 0 if anything failed or differed. */
static int run(TokendrawSampler* gpu, TokendrawSampler* cpu, const TokendrawBatch* batch, void* workspace,
               size_t workspace_bytes, cudaStream_t stream) {
  uint64_t offset[kRows] = {0, 0, 0, 0};
  int same = 1;
  for (int step = 0; step < kSteps; ++step) {
    int32_t tokens[kRows];
    int32_t expected[kRows];
    /* On one stream everything happens in this order. An engine would leave the tokens on the device. */
    if (!cuda_ok(
            cudaMemcpyAsync((void*)batch->offset_per_row, offset, sizeof offset, cudaMemcpyHostToDevice, stream)) ||
        !draw_ok(tokendraw_sample(gpu, batch, workspace, workspace_bytes, stream)) ||
        !cuda_ok(cudaMemcpyAsync(tokens, batch->tokens, sizeof tokens, cudaMemcpyDeviceToHost, stream)) ||
        !cuda_ok(cudaStreamSynchronize(stream)) || !draw_on_cpu(cpu, offset, expected)) {
      return 0;
    }
    printf("step %d:", step);
    for (int r = 0; r < kRows; ++r) {
      printf(" %3d", (int)tokens[r]);
      same = same && tokens[r] == expected[r];
      ++offset[r];
    }
    printf("\n");
  }
  printf(same ? "the CPU draws the same tokens\n" : "the CPU draws other tokens\n");
  return same;
}

int main(void) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    printf("no CUDA device: nothing to show\n");
    return 0;
  }
  for (int r = 0; r < kRows; ++r) {
    uint32_t state = (uint32_t)r + 1u;
    for (int id = 0; id < kVocab; ++id) {
      state = state * 1664525u + 1013904223u;
      logits[r][id] = (float)(state >> 8) * 0x1p-22f; /* 0 to 4 */
    }
  }

  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawSampler* gpu = NULL;
  TokendrawSampler* cpu = NULL;
  int ok = draw_ok(tokendraw_create_sampler(&options, &gpu));
  options.backend = TOKENDRAW_BACKEND_CPU;
  ok = ok && draw_ok(tokendraw_create_sampler(&options, &cpu));

  static const uint64_t no_offsets[kRows];
  static const int32_t no_tokens[kRows];
  TokendrawBatch batch;
  set_choices(&batch);
  batch.logits_memory = TOKENDRAW_MEMORY_DEVICE;
  batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
  batch.logits = to_device(logits, sizeof logits);
  batch.temperature_per_row = to_device(temperature, sizeof temperature);
  batch.top_k_per_row = to_device(top_k, sizeof top_k);
  batch.top_p_per_row = to_device(top_p, sizeof top_p);
  batch.seed_per_row = to_device(seed, sizeof seed);
  batch.offset_per_row = to_device(no_offsets, sizeof no_offsets);
  batch.tokens = to_device(no_tokens, sizeof no_tokens);
  ok = ok && batch.logits && batch.temperature_per_row && batch.top_k_per_row && batch.top_p_per_row &&
       batch.seed_per_row && batch.offset_per_row && batch.tokens;

  size_t workspace_bytes = 0;
  void* workspace = NULL;
  cudaStream_t stream = NULL;
  ok = ok && draw_ok(tokendraw_get_workspace_bytes(gpu, &batch, &workspace_bytes)) &&
       cuda_ok(cudaMalloc(&workspace, workspace_bytes)) && cuda_ok(cudaStreamCreate(&stream));
  ok = ok && run(gpu, cpu, &batch, workspace, workspace_bytes, stream);

  /* The sampler last: none of its work may be under way. */
  if (stream != NULL) cudaStreamDestroy(stream);
  cudaFree(workspace);
  cudaFree((void*)batch.logits);
  cudaFree((void*)batch.temperature_per_row);
  cudaFree((void*)batch.top_k_per_row);
  cudaFree((void*)batch.top_p_per_row);
  cudaFree((void*)batch.seed_per_row);
  cudaFree((void*)batch.offset_per_row);
  cudaFree(batch.tokens);
  tokendraw_destroy_sampler(gpu);
  tokendraw_destroy_sampler(cpu);
  return ok ? 0 : 1;
}
