// SPDX-License-Identifier: Apache-2.0
#include "exponential_errors.h"

#include <cuda_runtime.h>

#include "gpu/platform/platform.h"
#include "support/float_bits.h"

namespace tokendraw::test {
namespace {

constexpr unsigned kBlocks = 2048;
constexpr unsigned kThreads = 256;

struct Found {
  unsigned long long worst;  // the error's leading bits, and in the lower 32 the exponent's
  unsigned too_large;
  float of_lowest;
};

__global__ void look_at_all(Found* found) {
  unsigned long long worst = 0;
  unsigned too_large = 0;
  for (unsigned long long i = blockIdx.x * kThreads + threadIdx.x; i < 1ull << 32; i += kBlocks * kThreads) {
    const float x = __uint_as_float(static_cast<unsigned>(i));
    if (!(x < 128.0f)) continue;
    const float y = gpu::platform::exp2_estimate(x);
    if (x < -126.0f) {
      too_large = max(too_large, __float_as_uint(y));
      continue;
    }
    const double exact = exp2(static_cast<double>(x));
    const auto error = static_cast<float>(fabs(static_cast<double>(y) - exact) / exact);
    worst = max(worst, static_cast<unsigned long long>(__float_as_uint(error)) << 32 | i);
  }
  atomicMax(&found->worst, worst);
  atomicMax(&found->too_large, too_large);
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    found->of_lowest = gpu::platform::exp2_estimate(__uint_as_float(0xff800000u));
  }
}

}  // namespace

bool measure_exponential(ExponentialErrors* errors) {
  Found* device = nullptr;
  Found host = {};
  if (cudaMalloc(&device, sizeof host) != cudaSuccess) return false;
  bool done = cudaMemcpy(device, &host, sizeof host, cudaMemcpyHostToDevice) == cudaSuccess;
  if (done) look_at_all<<<kBlocks, kThreads>>>(device);
  done = done && cudaGetLastError() == cudaSuccess &&
         cudaMemcpy(&host, device, sizeof host, cudaMemcpyDeviceToHost) == cudaSuccess;
  (void)cudaFree(device);
  errors->worst = static_cast<double>(float_of(static_cast<unsigned>(host.worst >> 32)));
  errors->worst_at = float_of(static_cast<unsigned>(host.worst));
  errors->too_large = float_of(host.too_large);
  errors->of_lowest = host.of_lowest;
  return done;
}

}  // namespace tokendraw::test
