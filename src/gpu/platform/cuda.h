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

inline constexpr bool kHasSmallBlocks = true;
inline constexpr int kLogitsAtOnce = 16;
inline constexpr int kLoadsAtOnce = 16;

struct CopyBarrier {
  uint64_t state;  // an mbarrier
};
struct Inbox {
  uint64_t state;  // the same
};

}  // namespace tokendraw::gpu::platform

#if defined(__CUDACC__)
#include "gpu/platform/cuda_device.h"
#endif

namespace tokendraw::gpu::platform {

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
