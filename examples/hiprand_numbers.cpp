// SPDX-License-Identifier: Apache-2.0
// Random numbers by hipRAND instead of seeds: a generator fills an array on the GPU, and tokendraw draws one token from
// each number, on the same stream. rocRAND is the same with rocrand_ in place of hiprand; cuRAND, with curand.
//
// What to see here:
// - random_u64 takes 64 random bits a row. Two outputs of 32 bits are one number, so hiprandGenerate with twice as many
//   outputs fills the array.
// - Nothing waits: the generator and the sampler use one stream, and the numbers never leave the device.
// - The numbers decide: the CPU draws the same tokens from a copy of them.
#include <hip/hip_runtime.h>
#include <hiprand/hiprand.h>
#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

constexpr int32_t kVocab = 1000;
constexpr size_t kRows = 6;

bool hip_ok(hipError_t code) {
  if (code != hipSuccess) std::fprintf(stderr, "HIP: %s\n", hipGetErrorString(code));
  return code == hipSuccess;
}

bool rand_ok(hiprandStatus_t status) {
  if (status != HIPRAND_STATUS_SUCCESS) std::fprintf(stderr, "hipRAND: status %d\n", static_cast<int>(status));
  return status == HIPRAND_STATUS_SUCCESS;
}

bool draw_ok(TokendrawStatus status) {
  if (status == TOKENDRAW_OK) return true;
  std::fprintf(stderr, "%s: %s\n", tokendraw_status_name(status), tokendraw_last_error_message());
  return false;
}

// What the program holds; freed in main(), whatever became of the rest.
struct Resources {
  hipStream_t stream = nullptr;
  hiprandGenerator_t generator = nullptr;
  TokendrawSampler* gpu = nullptr;
  TokendrawSampler* cpu = nullptr;
  void* logits = nullptr;
  void* numbers = nullptr;
  void* tokens = nullptr;
  void* workspace = nullptr;
};

bool create_sampler(TokendrawBackend backend, TokendrawSampler** sampler) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = backend;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  return draw_ok(tokendraw_create_sampler(&options, sampler));
}

TokendrawBatch make_batch(const void* logits, const void* numbers, void* tokens) {
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.vocab = kVocab;
  batch.rows = kRows;
  batch.logits = logits;
  batch.top_p = 0.9f;
  batch.random_u64 = static_cast<const uint64_t*>(numbers);
  batch.tokens = static_cast<int32_t*>(tokens);
  return batch;
}

bool run(Resources& r) {
  std::vector<float> logits(kRows * kVocab);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7919 % 1009) / 128.0f;
  std::vector<uint64_t> numbers(kRows);
  std::vector<int32_t> tokens(kRows);
  std::vector<int32_t> expected(kRows);
  const size_t number_bytes = kRows * sizeof(uint64_t);
  const size_t token_bytes = kRows * sizeof(int32_t);

  if (!create_sampler(TOKENDRAW_BACKEND_HIP, &r.gpu) || !create_sampler(TOKENDRAW_BACKEND_CPU, &r.cpu)) return false;
  if (!hip_ok(hipStreamCreate(&r.stream)) || !hip_ok(hipMalloc(&r.logits, logits.size() * sizeof(float))) ||
      !hip_ok(hipMalloc(&r.numbers, number_bytes)) || !hip_ok(hipMalloc(&r.tokens, token_bytes)) ||
      !rand_ok(hiprandCreateGenerator(&r.generator, HIPRAND_RNG_PSEUDO_PHILOX4_32_10)) ||
      !rand_ok(hiprandSetPseudoRandomGeneratorSeed(r.generator, 42)) ||
      !rand_ok(hiprandSetStream(r.generator, r.stream))) {
    return false;
  }
  TokendrawBatch batch = make_batch(r.logits, r.numbers, r.tokens);
  batch.logits_memory = TOKENDRAW_MEMORY_DEVICE;
  batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
  size_t bytes = 0;
  if (!draw_ok(tokendraw_get_workspace_bytes(r.gpu, &batch, &bytes)) || !hip_ok(hipMalloc(&r.workspace, bytes)) ||
      !hip_ok(
          hipMemcpyAsync(r.logits, logits.data(), logits.size() * sizeof(float), hipMemcpyHostToDevice, r.stream))) {
    return false;
  }
  // The two calls that are repeated for every step.
  if (!rand_ok(hiprandGenerate(r.generator, static_cast<unsigned int*>(r.numbers), 2 * kRows)) ||
      !draw_ok(tokendraw_sample(r.gpu, &batch, r.workspace, bytes, r.stream))) {
    return false;
  }
  if (!hip_ok(hipMemcpyAsync(numbers.data(), r.numbers, number_bytes, hipMemcpyDeviceToHost, r.stream)) ||
      !hip_ok(hipMemcpyAsync(tokens.data(), r.tokens, token_bytes, hipMemcpyDeviceToHost, r.stream)) ||
      !hip_ok(hipStreamSynchronize(r.stream))) {
    return false;
  }
  const TokendrawBatch on_cpu = make_batch(logits.data(), numbers.data(), expected.data());
  if (!draw_ok(tokendraw_sample_host(r.cpu, &on_cpu))) return false;
  for (const int32_t token : tokens) std::printf("%d ", static_cast<int>(token));
  std::printf("\n%s\n", tokens == expected ? "the CPU draws the same tokens" : "the CPU draws other tokens");
  return tokens == expected;
}

}  // namespace

int main() {
  int devices = 0;
  if (hipGetDeviceCount(&devices) != hipSuccess || devices == 0) {
    std::printf("no HIP device: nothing to show\n");
    return 0;
  }
  Resources r;
  const bool good = run(r);
  if (r.generator != nullptr) (void)hiprandDestroyGenerator(r.generator);
  if (r.stream != nullptr) (void)hipStreamDestroy(r.stream);
  for (void* memory : {r.logits, r.numbers, r.tokens, r.workspace}) (void)hipFree(memory);
  tokendraw_destroy_sampler(r.gpu);
  tokendraw_destroy_sampler(r.cpu);
  return good ? 0 : 1;
}
