// SPDX-License-Identifier: Apache-2.0
// A decode loop in the memory of an NVIDIA GPU, captured into a graph: nothing but the graph's launch and the offsets
// is left to the host.
//
// What to see here:
// - The spans of a Batch hold device pointers where its memories are kDevice; the header never follows them.
// - The call can be captured, since it allocates nothing and waits for nothing. The graph draws a token for each
//   request, appends it to the text and makes it the next step's row of logits.
// - A launched graph reads the arrays anew: the offsets that advance in device memory give each step its own random
//   number.
// - The CPU, walking the same table with the same seeds, writes the same text.
//
// The "model" is a table: row i holds the logits of the token after token i, so that a row_index chooses the logits.

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <tokendraw/tokendraw.hpp>
#include <vector>

namespace {

constexpr int32_t kVocab = 512;
constexpr size_t kRequests = 6;
constexpr size_t kSteps = 12;

void require(cudaError_t code) {
  if (code != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(code));
}

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    require(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    require(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::span<T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  size_t size_;
};

class Stream {
 public:
  Stream() { require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Graph {
 public:
  // Captures what enqueue() puts on the stream.
  template <class Enqueue>
  Graph(cudaStream_t stream, const Enqueue& enqueue) {
    require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    enqueue();
    cudaGraph_t graph = nullptr;
    require(cudaStreamEndCapture(stream, &graph));
    const cudaError_t code = cudaGraphInstantiate(&launchable_, graph, 0);
    cudaGraphDestroy(graph);
    require(code);
  }
  ~Graph() { cudaGraphExecDestroy(launchable_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(cudaStream_t stream) const { require(cudaGraphLaunch(launchable_, stream)); }

 private:
  cudaGraphExec_t launchable_ = nullptr;
};

// What the requests are: the same numbers for both devices.
struct Requests {
  std::vector<float> logits = std::vector<float>(size_t{kVocab} * kVocab);
  std::vector<float> temperature = {1.0f, 0.8f, 0.0f, 1.2f, 1.0f, 0.6f};
  std::vector<float> top_p = {0.9f, 1.0f, 1.0f, 0.95f, 0.5f, 0.8f};
  std::vector<uint64_t> seed = {7, 7, 9, 10, 11, 12};  // two of them share one: told apart by temperature alone
  std::vector<int32_t> first_token = {0, 0, 100, 200, 300, 511};

  Requests() {
    for (size_t i = 0; i < logits.size(); ++i) {
      const auto last = static_cast<float>(i / kVocab);
      const auto next = static_cast<float>(i % kVocab);
      logits[i] = 6.0f * std::sin(0.37f * last + 0.011f * last * next) * std::cos(1.7f * next);
    }
  }
};

using Text = std::vector<int32_t>;  // [steps, requests]

Text write_on_gpu(const Requests& requests) {
  tokendraw::Sampler sampler(
      {.backend = tokendraw::Backend::kCuda, .on_gpu_failure = tokendraw::OnGpuFailure::kReturnError});
  const Stream stream;
  const DeviceArray<float> logits(requests.logits);
  const DeviceArray<float> temperature(requests.temperature);
  const DeviceArray<float> top_p(requests.top_p);
  const DeviceArray<uint64_t> seed(requests.seed);
  const DeviceArray<uint64_t> offset(kRequests);
  const DeviceArray<int32_t> last_token(requests.first_token);
  const DeviceArray<int32_t> tokens(kRequests);

  const tokendraw::Batch batch = {
      .logits =
          tokendraw::Logits::raw(logits.data(), tokendraw::Dtype::kF32, kVocab, kVocab, 0, tokendraw::Memory::kDevice),
      .row_index = last_token.span(),
      .params_memory = tokendraw::Memory::kDevice,
      .temperature = temperature.span(),
      .top_k = 40,
      .top_p = top_p.span(),
      .seed = seed.span(),
      .offset = offset.span(),
      .tokens = tokens.span(),
  };
  const DeviceArray<std::byte> workspace(sampler.workspace_bytes(batch));

  const Graph step(stream, [&] {
    sampler.sample(batch, workspace.span(), stream);
    require(cudaMemcpyAsync(last_token.data(), tokens.data(), kRequests * sizeof(int32_t), cudaMemcpyDeviceToDevice,
                            stream));
  });
  Text text(kSteps * kRequests);
  for (size_t i = 0; i < kSteps; ++i) {
    const std::vector<uint64_t> drawn(kRequests, i);
    require(cudaMemcpyAsync(offset.data(), drawn.data(), kRequests * sizeof(uint64_t), cudaMemcpyHostToDevice, stream));
    step.launch(stream);
    require(cudaMemcpyAsync(&text[i * kRequests], tokens.data(), kRequests * sizeof(int32_t), cudaMemcpyDeviceToHost,
                            stream));
  }
  require(cudaStreamSynchronize(stream));
  return text;
}

Text write_on_cpu(const Requests& requests) {
  tokendraw::Sampler sampler({.backend = tokendraw::Backend::kCpu});
  std::vector<int32_t> last_token = requests.first_token;
  Text text(kSteps * kRequests);
  for (size_t i = 0; i < kSteps; ++i) {
    const std::span<int32_t> tokens(&text[i * kRequests], kRequests);
    sampler.sample({
        .logits = tokendraw::Logits(requests.logits, kVocab),
        .row_index = last_token,
        .temperature = requests.temperature,
        .top_k = 40,
        .top_p = requests.top_p,
        .seed = requests.seed,
        .offset = static_cast<uint64_t>(i),
        .tokens = tokens,
    });
    last_token.assign(tokens.begin(), tokens.end());
  }
  return text;
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("no CUDA device: nothing to show");
    return 0;
  }
  try {
    const Requests requests;
    const Text text = write_on_gpu(requests);
    for (size_t r = 0; r < kRequests; ++r) {
      std::printf("request %zu:", r);
      for (size_t i = 0; i < kSteps; ++i) std::printf(" %3d", text[i * kRequests + r]);
      std::printf("\n");
    }
    const bool same = text == write_on_cpu(requests);
    std::puts(same ? "the CPU writes the same text" : "the CPU writes another text");
    return same ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
