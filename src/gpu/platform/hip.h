// SPDX-License-Identifier: Apache-2.0
// AMD: the platform (platform.h says what each name means). Kernels are compiled by clang as HIP and are made of the
// compiler's own builtins, so that they need neither HIP's headers nor its device library. Host code is ordinary C++
// over the HIP runtime's core: devices, memory, streams, modules, launches.
//
// A kernel's width is a template argument, and a target has one width: 64 lanes on CDNA (gfx9), 32 on RDNA (gfx10 and
// later). Kernels of the other width are not compiled for it (gpu/wave_widths.h).
#pragma once

#if !defined(__HIP__)
#include <hip/hip_runtime_api.h>

#include <cstdio>
#include <cstring>

#include "gpu/platform/hip_modules.h"
#include "plan/plan.h"
#endif

#define TOKENDRAW_GRID_CONSTANT

#if defined(__HIP__)

#if defined(__GFX9__)
#define TOKENDRAW_TARGET_WAVE 64
#else
#define TOKENDRAW_TARGET_WAVE 32
#endif
#define TOKENDRAW_KERNEL __attribute__((global))
#define TOKENDRAW_DEVICE __attribute__((device)) inline __attribute__((always_inline))
// A call would need a stack, in scratch memory that every wave has to have: all of a kernel is one function.
#define TOKENDRAW_DEVICE_CALL TOKENDRAW_DEVICE
// Registers are given for one resident block, whose waves four SIMDs share: those of a compute unit of CDNA, or of two
// of RDNA, which HIP calls one multiprocessor. Most kernels leave room for more (docs/amd.md); a compiler that is held
// to `blocks` spills registers to memory where rows are edited.
#define TOKENDRAW_LAUNCH_BOUNDS(threads, blocks)            \
  __attribute__((amdgpu_flat_work_group_size(1, (threads)), \
                 amdgpu_waves_per_eu((threads) / (4 * TOKENDRAW_TARGET_WAVE))))
#define TOKENDRAW_SHARED(Type, name)                                              \
  __attribute__((shared, aligned(16))) unsigned char name##_bytes_[sizeof(Type)]; \
  Type& name = *reinterpret_cast<Type*>(name##_bytes_)
#define TOKENDRAW_SHARED_DYNAMIC(Type, name)                                             \
  extern __attribute__((shared, aligned(16))) unsigned char tokendraw_dynamic_shared_[]; \
  Type* name = reinterpret_cast<Type*>(tokendraw_dynamic_shared_)

// What the compiler's stub of a kernel calls. Nobody calls the stubs: launches go by modules.
struct dim3 {
  uint32_t x, y, z;
};
extern "C" int hipLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                               void* stream);

#else
#define TOKENDRAW_KERNEL
#endif

namespace tokendraw::gpu::platform {

#if defined(__HIP__)

// ---- Device

struct CopyBarrier {
  uint64_t state;
};
struct Inbox {
  uint64_t state;
};

TOKENDRAW_DEVICE uint32_t thread_index() { return __builtin_amdgcn_workitem_id_x(); }
TOKENDRAW_DEVICE uint32_t block_threads() { return __builtin_amdgcn_workgroup_size_x(); }
TOKENDRAW_DEVICE uint32_t block_x() { return __builtin_amdgcn_workgroup_id_x(); }
TOKENDRAW_DEVICE uint32_t block_y() { return __builtin_amdgcn_workgroup_id_y(); }
TOKENDRAW_DEVICE uint32_t grid_x() { return __builtin_amdgcn_grid_size_x() / __builtin_amdgcn_workgroup_size_x(); }
TOKENDRAW_DEVICE uint32_t grid_y() { return __builtin_amdgcn_grid_size_y() / __builtin_amdgcn_workgroup_size_y(); }

TOKENDRAW_DEVICE void block_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}

template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_ballot(bool value) {
  if constexpr (kWave == 64) {
    return __builtin_amdgcn_ballot_w64(value);
  } else {
    return __builtin_amdgcn_ballot_w32(value);
  }
}

// How many threads of the block, which all call, have a true value: the waves' counts meet in shared memory.
TOKENDRAW_DEVICE uint32_t block_count(bool value) {
  constexpr uint32_t kMaxWaves = 1024 / TOKENDRAW_TARGET_WAVE;
  struct Counts {
    uint32_t of_wave[kMaxWaves];
  };
  TOKENDRAW_SHARED(Counts, counts);
  const auto own = static_cast<uint32_t>(__builtin_popcountll(warp_ballot<TOKENDRAW_TARGET_WAVE>(value)));
  block_barrier();  // what an earlier call left has been read
  if (thread_index() % TOKENDRAW_TARGET_WAVE == 0) counts.of_wave[thread_index() / TOKENDRAW_TARGET_WAVE] = own;
  block_barrier();
  uint32_t sum = 0;
  for (uint32_t w = 0; w < block_threads() / TOKENDRAW_TARGET_WAVE; ++w) sum += counts.of_wave[w];
  return sum;
}
TOKENDRAW_DEVICE bool block_any(bool value) { return block_count(value) != 0; }

// The lanes of a wave run in step, and its memory accesses are in order: only the compiler must be held.
template <int kWave>
TOKENDRAW_DEVICE void warp_barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

// From another lane, by its number in the wave.
TOKENDRAW_DEVICE uint32_t lane_word(uint32_t value, uint32_t lane) {
  return static_cast<uint32_t>(__builtin_amdgcn_ds_bpermute(static_cast<int>(lane * 4), static_cast<int>(value)));
}
TOKENDRAW_DEVICE int32_t lane_value(int32_t value, uint32_t lane) {
  return static_cast<int32_t>(lane_word(static_cast<uint32_t>(value), lane));
}
TOKENDRAW_DEVICE uint32_t lane_value(uint32_t value, uint32_t lane) { return lane_word(value, lane); }
TOKENDRAW_DEVICE float lane_value(float value, uint32_t lane) {
  return __builtin_bit_cast(float, lane_word(__builtin_bit_cast(uint32_t, value), lane));
}
TOKENDRAW_DEVICE uint64_t lane_value(uint64_t value, uint32_t lane) {
  const uint64_t low = lane_word(static_cast<uint32_t>(value), lane);
  const uint64_t high = lane_word(static_cast<uint32_t>(value >> 32), lane);
  return low | high << 32;
}

template <int kWave, typename T>
TOKENDRAW_DEVICE T warp_shuffle(T value, uint32_t lane) {
  return lane_value(value, lane);
}
template <int kWave, typename T>
TOKENDRAW_DEVICE T warp_shuffle_up(T value, uint32_t by) {
  const uint32_t lane = thread_index() % kWave;
  return lane_value(value, lane < by ? lane : lane - by);
}
template <int kWave, typename T>
TOKENDRAW_DEVICE T warp_shuffle_xor(T value, uint32_t mask) {
  return lane_value(value, (thread_index() % kWave) ^ mask);
}

template <int kWave>
TOKENDRAW_DEVICE uint32_t warp_add(uint32_t value) {
  for (uint32_t mask = kWave / 2; mask > 0; mask /= 2) value += warp_shuffle_xor<kWave>(value, mask);
  return value;
}
template <int kWave>
TOKENDRAW_DEVICE uint32_t warp_largest(uint32_t value) {
  for (uint32_t mask = kWave / 2; mask > 0; mask /= 2) {
    const uint32_t other = warp_shuffle_xor<kWave>(value, mask);
    value = value > other ? value : other;
  }
  return value;
}

inline constexpr bool kHasSmallBlocks = false;
// Fewer than elsewhere: calls are inlined, so that their registers are on top of all of a kernel's.
inline constexpr int kLogitsAtOnce = 8;
inline constexpr int kLoadsAtOnce = 4;

// There are no clusters: a block is one of its own, and no kernel that holds rows is launched.
inline constexpr bool kHasClusters = false;
TOKENDRAW_DEVICE uint32_t cluster_rank() { return 0; }
TOKENDRAW_DEVICE uint32_t cluster_blocks() { return 1; }
TOKENDRAW_DEVICE void cluster_barrier() { block_barrier(); }
TOKENDRAW_DEVICE void cluster_arrive() {}
TOKENDRAW_DEVICE void cluster_wait() { block_barrier(); }
template <typename T>
TOKENDRAW_DEVICE T* cluster_map(T* shared, uint32_t) {
  return shared;
}
TOKENDRAW_DEVICE void wait_for_earlier_kernels() {}
TOKENDRAW_DEVICE void let_next_kernel_begin() {}
template <typename Arguments>
TOKENDRAW_DEVICE void read_early(const Arguments&) {}
TOKENDRAW_DEVICE void prepare_copy(CopyBarrier*) {}
TOKENDRAW_DEVICE void begin_copy(CopyBarrier*, void*, const void*, uint32_t) {}
TOKENDRAW_DEVICE void finish_copy(CopyBarrier*) {}
TOKENDRAW_DEVICE void open_inbox(Inbox*, uint32_t) {}
TOKENDRAW_DEVICE void announce(Inbox*, uint32_t, uint32_t) {}
template <typename T>
TOKENDRAW_DEVICE void send(T*, uint32_t, const T&, Inbox*, uint32_t) {}
template <int kWave>
TOKENDRAW_DEVICE void wait_for_inbox(Inbox*) {}
template <int kWave>
inline constexpr bool kHasMaxOrNan = false;
TOKENDRAW_DEVICE float max_or_nan(float a, float b) { return a > b ? a : b; }
TOKENDRAW_DEVICE uint32_t max_or_nan_bf16_pair(uint32_t a, uint32_t) { return a; }
TOKENDRAW_DEVICE uint32_t max_or_nan_f16_pair(uint32_t a, uint32_t) { return a; }

// Additions of doubles take twice (CDNA) to 32 times (RDNA) the time of others, and the rounding of one is that of all
// around it.
template <int kWave>
inline constexpr bool kFastDoubles = false;
TOKENDRAW_DEVICE double add_toward_zero(double a, double b) { return a + b; }

// Atomics of the agent, that is of one device: where it is made of several dies, as gfx942 is, they reach past the
// caches of one.
inline constexpr bool kAddsWideInShared = true;
TOKENDRAW_DEVICE uint32_t atomic_add(uint32_t* to, uint32_t value) {
  return __hip_atomic_fetch_add(to, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
TOKENDRAW_DEVICE uint64_t atomic_add(uint64_t* to, uint64_t value) {
  return __hip_atomic_fetch_add(to, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
TOKENDRAW_DEVICE void add_in_shared(uint64_t* to, uint64_t value) { atomic_add(to, value); }
TOKENDRAW_DEVICE uint32_t atomic_max(uint32_t* to, uint32_t value) {
  return __hip_atomic_fetch_max(to, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
TOKENDRAW_DEVICE uint32_t atomic_or(uint32_t* to, uint32_t value) {
  return __hip_atomic_fetch_or(to, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
TOKENDRAW_DEVICE uint64_t atomic_min(uint64_t* to, uint64_t value) {
  return __hip_atomic_fetch_min(to, value, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
TOKENDRAW_DEVICE uint64_t atomic_exchange_if(uint64_t* to, uint64_t expected, uint64_t desired) {
  (void)__hip_atomic_compare_exchange_strong(to, &expected, desired, __ATOMIC_RELAXED, __ATOMIC_RELAXED,
                                             __HIP_MEMORY_SCOPE_AGENT);
  return expected;
}
TOKENDRAW_DEVICE void fence_device() { __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "agent"); }

template <typename T>
TOKENDRAW_DEVICE T load_shared_result(const T* from) {
  return __hip_atomic_load(from, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

// Pointers that the compiler knows to be into global memory.
template <typename T>
using Global = const T __attribute__((address_space(1)));
using Vector4 = uint32_t __attribute__((ext_vector_type(4)));

// That caches need not keep the words is in the instruction, so saying it for some would double every loop.
TOKENDRAW_DEVICE Words16 load_words(const void* from, bool) {
  const Vector4 words = *(Global<Vector4>*)from;
  return {{words.x, words.y, words.z, words.w}};
}
template <typename T>
TOKENDRAW_DEVICE T load_value(const T* from) {
  return *(Global<T>*)from;
}

TOKENDRAW_DEVICE void prefetch(const void*) {}

TOKENDRAW_DEVICE float max_number(float a, float b) { return __builtin_fmaxf(a, b); }
// LLVM's "User Guide for AMDGPU Backend": right to one unit in the last place, which is at most 2^-23 of the result.
TOKENDRAW_DEVICE float exp2_estimate(float x) { return __builtin_amdgcn_exp2f(x); }
TOKENDRAW_DEVICE int count_bits(uint64_t bits) { return __builtin_popcountll(bits); }
TOKENDRAW_DEVICE int first_bit(uint64_t bits) { return __builtin_ctzll(bits); }
TOKENDRAW_DEVICE int leading_zeros(uint32_t bits) { return bits != 0 ? __builtin_clz(bits) : 32; }

#else

// ---- Host

struct Error {
  int code = 0;
  explicit operator bool() const { return code != 0; }
  const char* text() const { return hipGetErrorString(static_cast<hipError_t>(code)); }
};
inline Error error_of(hipError_t code) { return {static_cast<int>(code)}; }
// Of a launch whose failure nobody should meet again as that of a later call.
inline Error forgotten(hipError_t code) {
  if (code != hipSuccess) (void)hipGetLastError();
  return error_of(code);
}
inline bool is_about_shape(Error error) {
  return error.code == hipErrorLaunchOutOfResources || error.code == hipErrorInvalidConfiguration;
}

using Stream = hipStream_t;

inline constexpr plan::Backend kBackend = plan::Backend::kHip;
inline const char* name() { return "hip"; }

inline Error count_devices(int* count) {
  *count = 0;
  return forgotten(hipGetDeviceCount(count));
}

inline Error read_device(int device, DeviceProperties* properties) {
  hipDeviceProp_t known;
  const hipError_t code = hipGetDeviceProperties(&known, device);
  if (code != hipSuccess) return forgotten(code);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "%.127s", known.name);
  // "gfx90a:sramecc+:xnack-": the features behind the colons do not matter to code that is compiled for all of them.
  const auto length = static_cast<int>(std::strcspn(known.gcnArchName, ":"));
  std::snprintf(properties->target, sizeof properties->target, "%.*s", length, known.gcnArchName);
  properties->multiprocessors = known.multiProcessorCount;
  properties->wave_width = known.warpSize;
  properties->shared_bytes_per_block = static_cast<int32_t>(known.sharedMemPerBlock);
  properties->block_shared_bytes = static_cast<int32_t>(known.sharedMemPerBlock);
  properties->cluster_blocks = 1;
  properties->memory_bytes = known.totalGlobalMem;
  return {};
}

inline Error current_device(int* device) { return error_of(hipGetDevice(device)); }
inline Error use_device(int device) { return error_of(hipSetDevice(device)); }

inline Error allocate(void** memory, size_t bytes) { return error_of(hipMalloc(memory, bytes)); }
inline Error release(void* memory) { return error_of(hipFree(memory)); }
inline Error allocate_pinned(void** memory, size_t bytes) {
  return error_of(hipHostMalloc(memory, bytes, hipHostMallocDefault));
}
inline Error release_pinned(void* memory) { return error_of(hipHostFree(memory)); }

inline Error create_stream(Stream* stream) { return error_of(hipStreamCreateWithFlags(stream, hipStreamNonBlocking)); }
inline Error destroy_stream(Stream stream) { return error_of(hipStreamDestroy(stream)); }
inline Error synchronize(Stream stream) { return error_of(hipStreamSynchronize(stream)); }

inline Error copy_async(void* to, const void* from, size_t bytes, CopyKind kind, Stream stream) {
  const hipMemcpyKind known = kind == CopyKind::kHostToDevice   ? hipMemcpyHostToDevice
                              : kind == CopyKind::kDeviceToHost ? hipMemcpyDeviceToHost
                                                                : hipMemcpyDeviceToDevice;
  return error_of(hipMemcpyAsync(to, from, bytes, known, stream));
}
inline Error fill_async(void* to, int byte, size_t bytes, Stream stream) {
  return error_of(hipMemsetAsync(to, byte, bytes, stream));
}

inline Error is_capturing(Stream stream, bool* capturing) {
  hipStreamCaptureStatus status = hipStreamCaptureStatusNone;
  const hipError_t code = hipStreamIsCapturing(stream, &status);
  *capturing = status != hipStreamCaptureStatusNone;
  return error_of(code);
}

template <typename... Parameters>
Error probe(void (*kernel)(Parameters...)) {
  hipFunction_t function = nullptr;
  return forgotten(hip::find_function(reinterpret_cast<const void*>(kernel), &function));
}
template <typename... Parameters>
bool has_cluster_code(void (*)(Parameters...)) {
  return false;
}
template <typename... Parameters>
Error allow_shapes(void (*)(Parameters...), const DeviceProperties&) {
  return {};
}

template <typename... Parameters>
Error launch_shaped(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream, Parameters... arguments) {
  if (shape.cluster_blocks != 1) return error_of(hipErrorInvalidConfiguration);
  hipFunction_t function = nullptr;
  hipError_t code = hip::find_function(reinterpret_cast<const void*>(kernel), &function);
  void* pointers[] = {static_cast<void*>(&arguments)...};
  if (code == hipSuccess) {
    code = hipModuleLaunchKernel(function, shape.grid.x, shape.grid.y, 1, shape.threads, 1, 1,
                                 shape.dynamic_shared_bytes, stream, pointers, nullptr);
  }
  return forgotten(code);
}
template <typename... Parameters>
Error launch(void (*kernel)(Parameters...), Grid grid, uint32_t threads, Stream stream, Parameters... arguments) {
  return launch_shaped(kernel, LaunchShape{grid, threads}, stream, arguments...);
}

#endif  // __HIP__

}  // namespace tokendraw::gpu::platform
