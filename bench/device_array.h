// SPDX-License-Identifier: Apache-2.0
// Memory of the CUDA device that a bench measures on, and the check of every call: a bench ends where one fails.
#pragma once

#include <cuda_runtime.h>
#include <tokendraw/tokendraw.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace tokendraw::bench {

inline void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "bench: %s: %s\n", what, cudaGetErrorString(code));
  std::exit(1);
}
inline void check(TokendrawStatus status, const char* what) {
  if (status == TOKENDRAW_OK) return;
  std::fprintf(stderr, "bench: %s: %s: %s\n", what, tokendraw_status_name(status), tokendraw_last_error_message());
  std::exit(1);
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) { check(cudaMalloc(&data_, count * sizeof(T)), "cudaMalloc"); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { (void)cudaFree(data_); }
  T* get() const { return static_cast<T*>(data_); }
  void fill(const std::vector<T>& values) {
    check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }

 private:
  void* data_ = nullptr;
};

}  // namespace tokendraw::bench
