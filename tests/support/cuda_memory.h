// SPDX-License-Identifier: Apache-2.0
// CUDA's runtime in tests: memory of a device, and calls that must succeed.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tokendraw::test {

// Fails the test where a call of the runtime does.
inline bool succeeded(cudaError_t code) {
  EXPECT_EQ(code, cudaSuccess) << cudaGetErrorString(code);
  return code == cudaSuccess;
}

// "" if there is a device, or why there is none.
inline const char* why_no_cuda_device() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess) return cudaGetErrorString(code);
  return count > 0 ? "" : "the driver knows no device";
}

// A block of device memory; grows when it is asked for more, and then loses its content.
class DeviceBlock {
 public:
  DeviceBlock() = default;
  explicit DeviceBlock(size_t bytes) { reserve(bytes); }
  ~DeviceBlock() { (void)cudaFree(memory_); }
  DeviceBlock(DeviceBlock&& other) noexcept : memory_(other.memory_), bytes_(other.bytes_) {
    other.memory_ = nullptr;
    other.bytes_ = 0;
  }
  DeviceBlock(const DeviceBlock&) = delete;
  DeviceBlock& operator=(const DeviceBlock&) = delete;
  DeviceBlock& operator=(DeviceBlock&&) = delete;

  unsigned char* reserve(size_t bytes) {
    if (bytes > bytes_) {
      succeeded(cudaFree(memory_));
      memory_ = nullptr;
      bytes_ = succeeded(cudaMalloc(&memory_, bytes)) ? bytes : 0;
    }
    return data();
  }
  unsigned char* data() const { return static_cast<unsigned char*>(memory_); }

 private:
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : block_(size * sizeof(T)), size_(size) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { write(values); }

  T* get() const { return reinterpret_cast<T*>(block_.data()); }
  void write(const std::vector<T>& values) const {
    succeeded(cudaMemcpy(get(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    succeeded(cudaMemcpy(values.data(), get(), size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  DeviceBlock block_;
  size_t size_;
};

class Stream {
 public:
  Stream() { succeeded(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { (void)cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void synchronize() const { succeeded(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace tokendraw::test
