// SPDX-License-Identifier: Apache-2.0
// Logits, seeds and tokens in the memory of an AMD GPU: a few steps of tokendraw_sample on a HIP stream, by the C++
// API.
//
// What to see here:
// - The call enqueues its work on the stream, returns at once and allocates nothing; the workspace is device memory as
//   large as the library asks.
// - Each request owns its seed and its offset, the number of tokens it has drawn.
// - The CPU draws the same tokens from the same numbers.
#include <hip/hip_runtime_api.h>
#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

namespace {

constexpr int32_t kVocab = 1000;
constexpr size_t kRows = 4;
constexpr int kSteps = 5;

bool hip_ok(hipError_t code) {
  if (code != hipSuccess) std::fprintf(stderr, "HIP: %s\n", hipGetErrorString(code));
  return code == hipSuccess;
}

bool draw_ok(TokendrawStatus status) {
  if (status == TOKENDRAW_OK) return true;
  std::fprintf(stderr, "%s: %s\n", tokendraw_status_name(status), tokendraw_last_error_message());
  return false;
}

// Device memory for n values.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n) : bytes_(n * sizeof(T)) { ok_ = hip_ok(hipMalloc(&memory_, bytes_)); }
  ~DeviceArray() { (void)hipFree(memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() const { return static_cast<T*>(memory_); }
  bool set(const std::vector<T>& from, hipStream_t stream) {
    return ok_ && hip_ok(hipMemcpyAsync(memory_, from.data(), bytes_, hipMemcpyHostToDevice, stream));
  }
  bool get(std::vector<T>& to, hipStream_t stream) const {
    return ok_ && hip_ok(hipMemcpyAsync(to.data(), memory_, bytes_, hipMemcpyDeviceToHost, stream));
  }

 private:
  void* memory_ = nullptr;
  size_t bytes_;
  bool ok_ = false;
};

struct DestroySampler {
  void operator()(TokendrawSampler* sampler) const { tokendraw_destroy_sampler(sampler); }
};
using Sampler = std::unique_ptr<TokendrawSampler, DestroySampler>;

Sampler make_sampler(TokendrawBackend backend) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = backend;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawSampler* sampler = nullptr;
  if (!draw_ok(tokendraw_create_sampler(&options, &sampler))) return nullptr;
  return Sampler(sampler);
}

TokendrawBatch make_batch(const float* logits, const uint64_t* seeds, const uint64_t* offsets, int32_t* tokens) {
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.vocab = kVocab;
  batch.rows = kRows;
  batch.logits = logits;
  batch.temperature = 0.8f;
  batch.top_k = 50;
  batch.top_p = 0.95f;
  batch.seed_per_row = seeds;
  batch.offset_per_row = offsets;
  batch.tokens = tokens;
  return batch;
}

bool run(hipStream_t stream) {
  const Sampler gpu = make_sampler(TOKENDRAW_BACKEND_HIP);
  const Sampler cpu = make_sampler(TOKENDRAW_BACKEND_CPU);
  if (gpu == nullptr || cpu == nullptr) return false;
  std::vector<float> logits(kRows * kVocab);
  uint32_t state = 1;
  for (float& logit : logits) {
    state = state * 1664525u + 1013904223u;
    logit = static_cast<float>(state >> 8) * 0x1p-21f;  // 0 to 8
  }
  const std::vector<uint64_t> seeds = {1, 22, 333, 4444};
  std::vector<uint64_t> offsets(kRows, 0);
  std::vector<int32_t> tokens(kRows);
  std::vector<int32_t> expected(kRows);

  DeviceArray<float> device_logits(logits.size());
  DeviceArray<uint64_t> device_seeds(kRows);
  DeviceArray<uint64_t> device_offsets(kRows);
  const DeviceArray<int32_t> device_tokens(kRows);
  if (!device_logits.set(logits, stream) || !device_seeds.set(seeds, stream)) return false;
  TokendrawBatch batch =
      make_batch(device_logits.data(), device_seeds.data(), device_offsets.data(), device_tokens.data());
  batch.logits_memory = TOKENDRAW_MEMORY_DEVICE;
  batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
  const TokendrawBatch on_cpu = make_batch(logits.data(), seeds.data(), offsets.data(), expected.data());
  size_t bytes = 0;
  if (!draw_ok(tokendraw_get_workspace_bytes(gpu.get(), &batch, &bytes))) return false;
  const DeviceArray<unsigned char> workspace(bytes);

  for (int step = 0; step < kSteps; ++step) {
    // On one stream everything happens in this order. An engine would leave the tokens on the device.
    if (!device_offsets.set(offsets, stream) ||
        !draw_ok(tokendraw_sample(gpu.get(), &batch, workspace.data(), bytes, stream)) ||
        !device_tokens.get(tokens, stream) || !hip_ok(hipStreamSynchronize(stream)) ||
        !draw_ok(tokendraw_sample_host(cpu.get(), &on_cpu))) {
      return false;
    }
    std::printf("step %d:", step);
    for (const int32_t token : tokens) std::printf(" %3d", static_cast<int>(token));
    std::printf("\n");
    if (tokens != expected) {
      std::printf("the CPU draws other tokens\n");
      return false;
    }
    for (uint64_t& offset : offsets) ++offset;
  }
  std::printf("the CPU draws the same tokens\n");
  return true;
}

}  // namespace

int main() {
  int devices = 0;
  if (hipGetDeviceCount(&devices) != hipSuccess || devices == 0) {
    std::printf("no HIP device: nothing to show\n");
    return 0;
  }
  hipStream_t stream = nullptr;
  if (!hip_ok(hipStreamCreate(&stream))) return 1;
  const bool good = run(stream);
  (void)hipStreamDestroy(stream);
  return good ? 0 : 1;
}
