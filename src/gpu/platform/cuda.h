// SPDX-License-Identifier: Apache-2.0
// NVIDIA: the platform (platform.h says what each name means) in terms of the CUDA runtime.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "plan/plan.h"

#define TOKENDRAW_KERNEL __global__
#define TOKENDRAW_DEVICE __device__ __forceinline__
#define TOKENDRAW_DEVICE_CALL __device__ __noinline__ inline
#define TOKENDRAW_LAUNCH_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#define TOKENDRAW_GRID_CONSTANT __grid_constant__
#define TOKENDRAW_SHARED(Type, name)                                \
  __shared__ alignas(16) unsigned char name##_bytes_[sizeof(Type)]; \
  Type& name = *reinterpret_cast<Type*>(name##_bytes_)
#define TOKENDRAW_SHARED_DYNAMIC(Type, name)                                 \
  extern __shared__ __align__(16) unsigned char tokendraw_dynamic_shared_[]; \
  Type* name = reinterpret_cast<Type*>(tokendraw_dynamic_shared_)

namespace tokendraw::gpu::platform {

struct CopyBarrier {
  uint64_t state;  // an mbarrier
};

#if defined(__CUDACC__)

// ---- Device

TOKENDRAW_DEVICE uint32_t thread_index() { return threadIdx.x; }
TOKENDRAW_DEVICE uint32_t block_threads() { return blockDim.x; }
TOKENDRAW_DEVICE uint32_t block_x() { return blockIdx.x; }
TOKENDRAW_DEVICE uint32_t block_y() { return blockIdx.y; }
TOKENDRAW_DEVICE uint32_t grid_x() { return gridDim.x; }
TOKENDRAW_DEVICE uint32_t grid_y() { return gridDim.y; }

TOKENDRAW_DEVICE void block_barrier() { __syncthreads(); }
TOKENDRAW_DEVICE bool block_any(bool value) { return __syncthreads_or(value ? 1 : 0) != 0; }
TOKENDRAW_DEVICE uint32_t block_count(bool value) { return static_cast<uint32_t>(__syncthreads_count(value ? 1 : 0)); }

template <int kWave>
TOKENDRAW_DEVICE void warp_barrier() {
  static_assert(kWave == 32);
  __syncwarp();
}

template <int kWave, typename T>
TOKENDRAW_DEVICE T warp_shuffle(T value, uint32_t lane) {
  static_assert(kWave == 32);
  return __shfl_sync(0xffffffffu, value, static_cast<int>(lane));
}
template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_shuffle(uint64_t value, uint32_t lane) {
  static_assert(kWave == 32);
  return static_cast<uint64_t>(
      __shfl_sync(0xffffffffu, static_cast<unsigned long long>(value), static_cast<int>(lane)));
}

template <int kWave, typename T>
TOKENDRAW_DEVICE T warp_shuffle_up(T value, uint32_t by) {
  static_assert(kWave == 32);
  return __shfl_up_sync(0xffffffffu, value, by);
}
template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_shuffle_up(uint64_t value, uint32_t by) {
  static_assert(kWave == 32);
  return static_cast<uint64_t>(__shfl_up_sync(0xffffffffu, static_cast<unsigned long long>(value), by));
}

template <int kWave, typename T>
TOKENDRAW_DEVICE T warp_shuffle_xor(T value, uint32_t mask) {
  static_assert(kWave == 32);
  return __shfl_xor_sync(0xffffffffu, value, static_cast<int>(mask));
}
template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_shuffle_xor(uint64_t value, uint32_t mask) {
  static_assert(kWave == 32);
  return static_cast<uint64_t>(
      __shfl_xor_sync(0xffffffffu, static_cast<unsigned long long>(value), static_cast<int>(mask)));
}

template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_ballot(bool value) {
  static_assert(kWave == 32);
  return __ballot_sync(0xffffffffu, value ? 1 : 0);
}

// Before sm_90 a block is a cluster of its own.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
TOKENDRAW_DEVICE uint32_t cluster_rank() { return __clusterRelativeBlockRank(); }
TOKENDRAW_DEVICE uint32_t cluster_blocks() { return __clusterSizeInBlocks(); }
TOKENDRAW_DEVICE void cluster_barrier() {
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
}
TOKENDRAW_DEVICE void cluster_arrive() { __cluster_barrier_arrive(); }
TOKENDRAW_DEVICE void cluster_wait() { __cluster_barrier_wait(); }
template <typename T>
TOKENDRAW_DEVICE T* cluster_map(T* shared, uint32_t rank) {
  return static_cast<T*>(__cluster_map_shared_rank(shared, rank));
}
#else
TOKENDRAW_DEVICE uint32_t cluster_rank() { return 0; }
TOKENDRAW_DEVICE uint32_t cluster_blocks() { return 1; }
TOKENDRAW_DEVICE void cluster_barrier() { __syncthreads(); }
TOKENDRAW_DEVICE void cluster_arrive() {}
TOKENDRAW_DEVICE void cluster_wait() { __syncthreads(); }
template <typename T>
TOKENDRAW_DEVICE T* cluster_map(T* shared, uint32_t) {
  return shared;
}
#endif

template <int kWave>
TOKENDRAW_DEVICE uint32_t warp_add(uint32_t value) {
  static_assert(kWave == 32);
#if __CUDA_ARCH__ >= 800
  return __reduce_add_sync(0xffffffffu, value);
#else
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
  return value;
#endif
}

template <int kWave>
TOKENDRAW_DEVICE uint32_t warp_largest(uint32_t value) {
  static_assert(kWave == 32);
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(0xffffffffu, value);
#else
  for (int mask = 16; mask > 0; mask /= 2) value = max(value, __shfl_xor_sync(0xffffffffu, value, mask));
  return value;
#endif
}

// What only clusters use; other devices launch no such kernel.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
inline constexpr bool kHasClusters = true;
TOKENDRAW_DEVICE void wait_for_earlier_kernels() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
TOKENDRAW_DEVICE void let_next_kernel_begin() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
TOKENDRAW_DEVICE void begin_copy(CopyBarrier* barrier, void* to, const void* from, uint32_t bytes) {
  const auto shared_barrier = static_cast<uint32_t>(__cvta_generic_to_shared(barrier));
  const auto shared_to = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_barrier) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_barrier), "r"(bytes) : "memory");
  if (bytes == 0) return;
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_to),
      "l"(from), "r"(bytes), "r"(shared_barrier)
      : "memory");
}
TOKENDRAW_DEVICE void finish_copy(CopyBarrier* barrier) {
  const auto shared_barrier = static_cast<uint32_t>(__cvta_generic_to_shared(barrier));
  uint32_t done = 0;
  while (done == 0) {
    asm volatile("{\n .reg .pred p;\n mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0;\n selp.u32 %0, 1, 0, p;\n}"
                 : "=r"(done)
                 : "r"(shared_barrier)
                 : "memory");
  }
}
#else
inline constexpr bool kHasClusters = false;
TOKENDRAW_DEVICE void wait_for_earlier_kernels() {}
TOKENDRAW_DEVICE void let_next_kernel_begin() {}
TOKENDRAW_DEVICE void begin_copy(CopyBarrier*, void*, const void*, uint32_t) {}
TOKENDRAW_DEVICE void finish_copy(CopyBarrier*) {}
#endif

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <int kWave>
inline constexpr bool kHasMaxOrNan = true;
TOKENDRAW_DEVICE float max_or_nan(float a, float b) {
  float largest;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(largest) : "f"(a), "f"(b));
  return largest;
}
TOKENDRAW_DEVICE uint32_t max_or_nan_bf16_pair(uint32_t a, uint32_t b) {
  uint32_t largest;
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(largest) : "r"(a), "r"(b));
  return largest;
}
TOKENDRAW_DEVICE uint32_t max_or_nan_f16_pair(uint32_t a, uint32_t b) {
  uint32_t largest;
  asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(largest) : "r"(a), "r"(b));
  return largest;
}
#else
template <int kWave>
inline constexpr bool kHasMaxOrNan = false;
TOKENDRAW_DEVICE float max_or_nan(float a, float b) { return a > b ? a : b; }
TOKENDRAW_DEVICE uint32_t max_or_nan_bf16_pair(uint32_t a, uint32_t) { return a; }
TOKENDRAW_DEVICE uint32_t max_or_nan_f16_pair(uint32_t a, uint32_t) { return a; }
#endif

// CUDA C++ Programming Guide 13.0, "Arithmetic Instructions": 64-bit additions for each clock cycle and multiprocessor
// are 32 or 64 in these, 2 in the others.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000)
template <int kWave>
inline constexpr bool kFastDoubles = true;
#else
template <int kWave>
inline constexpr bool kFastDoubles = false;
#endif
TOKENDRAW_DEVICE double add_toward_zero(double a, double b) { return __dadd_rz(a, b); }

TOKENDRAW_DEVICE uint32_t atomic_add(uint32_t* to, uint32_t value) { return atomicAdd(to, value); }
TOKENDRAW_DEVICE uint64_t atomic_add(uint64_t* to, uint64_t value) {
  return atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}
TOKENDRAW_DEVICE uint32_t atomic_max(uint32_t* to, uint32_t value) { return atomicMax(to, value); }
TOKENDRAW_DEVICE uint32_t atomic_or(uint32_t* to, uint32_t value) { return atomicOr(to, value); }
TOKENDRAW_DEVICE uint64_t atomic_min(uint64_t* to, uint64_t value) {
  return atomicMin(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}
TOKENDRAW_DEVICE uint64_t atomic_exchange_if(uint64_t* to, uint64_t expected, uint64_t desired) {
  return atomicCAS(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(expected),
                   static_cast<unsigned long long>(desired));
}
TOKENDRAW_DEVICE void fence_device() { __threadfence(); }

template <typename T>
TOKENDRAW_DEVICE T load_shared_result(const T* from) {
  return __ldcg(from);
}
TOKENDRAW_DEVICE uint64_t load_shared_result(const uint64_t* from) {
  return __ldcg(reinterpret_cast<const unsigned long long*>(from));
}

TOKENDRAW_DEVICE Words16 load_words(const void* from, bool once) {
#if __CUDA_ARCH__ >= 800
  uint64_t first_to_go;
  uint64_t normal;
  Words16 words;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(first_to_go));
  asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(normal));
  asm("ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
      : "=r"(words.word[0]), "=r"(words.word[1]), "=r"(words.word[2]), "=r"(words.word[3])
      : "l"(from), "l"(once ? first_to_go : normal));
  return words;
#else
  const uint4 words = __ldg(static_cast<const uint4*>(from));
  return {{words.x, words.y, words.z, words.w}};
#endif
}
template <typename T>
TOKENDRAW_DEVICE T load_value(const T* from) {
  return __ldg(from);
}

TOKENDRAW_DEVICE float max_number(float a, float b) { return fmaxf(a, b); }
TOKENDRAW_DEVICE int count_bits(uint64_t bits) { return __popcll(bits); }
TOKENDRAW_DEVICE int first_bit(uint64_t bits) { return __ffsll(static_cast<long long>(bits)) - 1; }
TOKENDRAW_DEVICE int leading_zeros(uint32_t bits) { return __clz(static_cast<int>(bits)); }

#endif  // __CUDACC__

// ---- Host

struct Error {
  int code = 0;
  explicit operator bool() const { return code != 0; }
  const char* text() const { return cudaGetErrorString(static_cast<cudaError_t>(code)); }
};
// Of a launch that the device cannot serve in its shape, and of which nothing was done.
inline bool is_about_shape(Error error) {
  return error.code == cudaErrorInvalidClusterSize || error.code == cudaErrorLaunchOutOfResources ||
         error.code == cudaErrorInvalidConfiguration;
}
inline Error error_of(cudaError_t code) { return {static_cast<int>(code)}; }

using Stream = cudaStream_t;

inline constexpr plan::Backend kBackend = plan::Backend::kCuda;
inline const char* name() { return "cuda"; }

inline Error count_devices(int* count) {
  *count = 0;
  const cudaError_t code = cudaGetDeviceCount(count);
  if (code != cudaSuccess) (void)cudaGetLastError();  // so that no later call reports it
  return error_of(code);
}

inline Error read_device(int device, DeviceProperties* properties) {
  cudaDeviceProp known;
  const cudaError_t code = cudaGetDeviceProperties(&known, device);
  if (code != cudaSuccess) return error_of(code);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "%.127s", known.name);
  std::snprintf(properties->target, sizeof properties->target, "sm_%d%d", known.major, known.minor);
  properties->multiprocessors = known.multiProcessorCount;
  properties->wave_width = known.warpSize;
  properties->shared_bytes_per_block = static_cast<int32_t>(known.sharedMemPerBlock);
  properties->memory_bytes = known.totalGlobalMem;
  properties->block_shared_bytes = static_cast<int32_t>(known.sharedMemPerBlockOptin);
  // More than 8 need a device with large clusters of multiprocessors, which a part of a device is not.
  constexpr int kWholeDevice = 64;
  properties->cluster_blocks = known.major < 9                                                 ? 1
                               : known.major >= 12 || known.multiProcessorCount < kWholeDevice ? 8
                                                                                               : 16;
  return {};
}

inline Error current_device(int* device) { return error_of(cudaGetDevice(device)); }
inline Error use_device(int device) { return error_of(cudaSetDevice(device)); }

inline Error allocate(void** memory, size_t bytes) { return error_of(cudaMalloc(memory, bytes)); }
inline Error release(void* memory) { return error_of(cudaFree(memory)); }
inline Error allocate_pinned(void** memory, size_t bytes) { return error_of(cudaMallocHost(memory, bytes)); }
inline Error release_pinned(void* memory) { return error_of(cudaFreeHost(memory)); }

inline Error create_stream(Stream* stream) {
  return error_of(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking));
}
inline Error destroy_stream(Stream stream) { return error_of(cudaStreamDestroy(stream)); }
inline Error synchronize(Stream stream) { return error_of(cudaStreamSynchronize(stream)); }

inline Error copy_async(void* to, const void* from, size_t bytes, CopyKind kind, Stream stream) {
  const cudaMemcpyKind known = kind == CopyKind::kHostToDevice   ? cudaMemcpyHostToDevice
                               : kind == CopyKind::kDeviceToHost ? cudaMemcpyDeviceToHost
                                                                 : cudaMemcpyDeviceToDevice;
  return error_of(cudaMemcpyAsync(to, from, bytes, known, stream));
}
inline Error fill_async(void* to, int byte, size_t bytes, Stream stream) {
  return error_of(cudaMemsetAsync(to, byte, bytes, stream));
}

inline Error is_capturing(Stream stream, bool* capturing) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaError_t code = cudaStreamIsCapturing(stream, &status);
  *capturing = status != cudaStreamCaptureStatusNone;
  return error_of(code);
}

template <typename... Parameters>
Error probe(void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes;
  const cudaError_t code = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
  if (code != cudaSuccess) (void)cudaGetLastError();
  return error_of(code);
}

// Whether the code that the current device would run was compiled with clusters.
template <typename... Parameters>
bool has_cluster_code(void (*kernel)(Parameters...)) {
  constexpr int kFirstVersion = 90;
  cudaFuncAttributes attributes;
  const cudaError_t code = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
  if (code != cudaSuccess) (void)cudaGetLastError();
  return code == cudaSuccess && attributes.ptxVersion >= kFirstVersion && attributes.binaryVersion >= kFirstVersion;
}

template <typename... Parameters>
Error launch(void (*kernel)(Parameters...), Grid grid, uint32_t threads, Stream stream, Parameters... arguments) {
  void* pointers[] = {static_cast<void*>(&arguments)...};
  const cudaError_t code =
      cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(grid.x, grid.y), dim3(threads), pointers, 0, stream);
  if (code != cudaSuccess) (void)cudaGetLastError();
  return error_of(code);
}

// Allows a kernel all of the shared memory and the largest clusters that the current device has. Once, before launches
// that need them: threads that each asked for what they need would take it from one another.
template <typename... Parameters>
Error allow_shapes(void (*kernel)(Parameters...), const DeviceProperties& properties) {
  const void* function = reinterpret_cast<const void*>(kernel);
  cudaFuncAttributes attributes;
  cudaError_t code = cudaFuncGetAttributes(&attributes, function);
  if (code == cudaSuccess) {
    code = cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                properties.block_shared_bytes - static_cast<int>(attributes.sharedSizeBytes));
  }
  if (code == cudaSuccess && properties.cluster_blocks > 8) {  // 8: allowed everywhere
    code = cudaFuncSetAttribute(function, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  }
  if (code != cudaSuccess) (void)cudaGetLastError();
  return error_of(code);
}

template <typename... Parameters>
Error launch_shaped(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream, Parameters... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  uint32_t count = 0;
  if (shape.cluster_blocks > 1) {  // devices without clusters know no such attribute
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = shape.cluster_blocks;
    attributes[count].val.clusterDim.y = 1;
    attributes[count].val.clusterDim.z = 1;
    ++count;
  }
  if (shape.begins_early) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count].val.programmaticStreamSerializationAllowed = 1;
    ++count;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(shape.grid.x, shape.grid.y);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.dynamic_shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  void* pointers[] = {static_cast<void*>(&arguments)...};
  const cudaError_t code = cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), pointers);
  if (code != cudaSuccess) (void)cudaGetLastError();
  return error_of(code);
}

}  // namespace tokendraw::gpu::platform
