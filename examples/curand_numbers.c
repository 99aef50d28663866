/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's own random numbers: cuRAND fills device memory with words, two of them are the u64 that draws a row's
 * token. The same with hipRAND, function for function. Words, not curandGenerateUniform: its floats lie in (0, 1], and
 * random_f32 takes [0, 1).
 */
#include <cuda_runtime_api.h>
#include <curand.h>
#include <stdio.h>
#include <stdlib.h>
#include <tokendraw/tokendraw.h>

enum { kRows = 4, kVocab = 32000 };

/* Ends the program where a call failed. */
static void require(int ok, const char* what) {
  if (ok) return;
  fprintf(stderr, "%s failed: %s\n", what, tokendraw_last_error_message());
  exit(1);
}

static void* device_memory(size_t bytes) {
  void* memory = NULL;
  require(cudaMalloc(&memory, bytes) == cudaSuccess, "cudaMalloc");
  return memory;
}

int main(void) {
  TokendrawSampler* sampler = NULL;
  TokendrawSamplerOptions options;
  TokendrawBatch batch;
  curandGenerator_t generator;
  cudaStream_t stream;
  float* logits = malloc(sizeof(float) * kRows * kVocab);
  uint64_t numbers[kRows];
  int32_t tokens[kRows], expected[kRows];
  void* workspace;
  size_t bytes;
  int i;

  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  if (tokendraw_create_sampler(&options, &sampler) != TOKENDRAW_OK) {
    printf("no GPU to sample on: %s\n", tokendraw_last_error_message());
    free(logits);
    return 0;
  }
  require(logits != NULL, "malloc");
  for (i = 0; i < kRows * kVocab; ++i) logits[i] = (float)((i * 7919LL) % 1013) / 100.0f;

  require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess, "cudaStreamCreate");
  require(curandCreateGenerator(&generator, CURAND_RNG_PSEUDO_XORWOW) == CURAND_STATUS_SUCCESS, "cuRAND");
  require(curandSetPseudoRandomGeneratorSeed(generator, 1234) == CURAND_STATUS_SUCCESS, "cuRAND's seed");
  require(curandSetStream(generator, stream) == CURAND_STATUS_SUCCESS, "cuRAND's stream");

  tokendraw_init_batch(&batch);
  batch.rows = kRows;
  batch.vocab = kVocab;
  batch.top_k = 40;
  batch.logits_memory = batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
  batch.logits = device_memory(sizeof(float) * kRows * kVocab);
  batch.random_u64 = device_memory(sizeof numbers);
  batch.tokens = device_memory(sizeof tokens);
  require(
      cudaMemcpy((void*)batch.logits, logits, sizeof(float) * kRows * kVocab, cudaMemcpyHostToDevice) == cudaSuccess,
      "cudaMemcpy");
  require(tokendraw_get_workspace_bytes(sampler, &batch, &bytes) == TOKENDRAW_OK, "asking for the workspace");
  workspace = device_memory(bytes);

  /* On one stream: the numbers, then the tokens. Nothing waits for the host. */
  require(curandGenerate(generator, (unsigned int*)batch.random_u64, 2 * kRows) == CURAND_STATUS_SUCCESS,
          "curandGenerate");
  require(tokendraw_sample(sampler, &batch, workspace, bytes, stream) == TOKENDRAW_OK, "sampling");
  require(
      cudaMemcpyAsync(tokens, batch.tokens, sizeof tokens, cudaMemcpyDeviceToHost, stream) == cudaSuccess &&
          cudaMemcpyAsync(numbers, batch.random_u64, sizeof numbers, cudaMemcpyDeviceToHost, stream) == cudaSuccess &&
          cudaStreamSynchronize(stream) == cudaSuccess,
      "the device");
  for (i = 0; i < kRows; ++i)
    printf("row %d: number %llx, token %d\n", i, (unsigned long long)numbers[i], (int)tokens[i]);

  /* The same numbers give the same tokens on the CPU. */
  cudaFree((void*)batch.logits);
  cudaFree((void*)batch.random_u64);
  cudaFree(batch.tokens);
  cudaFree(workspace);
  tokendraw_destroy_sampler(sampler);
  options.backend = TOKENDRAW_BACKEND_CPU;
  require(tokendraw_create_sampler(&options, &sampler) == TOKENDRAW_OK, "creating a sampler of the CPU");
  batch.logits_memory = batch.params_memory = TOKENDRAW_MEMORY_HOST;
  batch.logits = logits;
  batch.random_u64 = numbers;
  batch.tokens = expected;
  require(tokendraw_sample_host(sampler, &batch) == TOKENDRAW_OK, "sampling on the CPU");
  for (i = 0; i < kRows; ++i) require(tokens[i] == expected[i], "finding the CPU's token");
  tokendraw_destroy_sampler(sampler);
  curandDestroyGenerator(generator);
  cudaStreamDestroy(stream);
  free(logits);
  return 0;
}
