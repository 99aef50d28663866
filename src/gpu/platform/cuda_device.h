// SPDX-License-Identifier: Apache-2.0
// NVIDIA: what kernels use of the platform (platform.h says what each name means). Included by cuda.h.
#pragma once

namespace tokendraw::gpu::platform {

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
template <typename Arguments>
TOKENDRAW_DEVICE void read_early(const Arguments& arguments) {
  constexpr int kCacheLine = 64;
  const auto* words = reinterpret_cast<const uint32_t*>(&arguments);
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof arguments); i += kCacheLine) asm volatile("" ::"r"(words[i / 4]));
}
TOKENDRAW_DEVICE void let_next_kernel_begin() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
TOKENDRAW_DEVICE void prepare_copy(CopyBarrier* barrier) {
  const auto shared_barrier = static_cast<uint32_t>(__cvta_generic_to_shared(barrier));
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_barrier) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
TOKENDRAW_DEVICE void begin_copy(CopyBarrier* barrier, void* to, const void* from, uint32_t bytes) {
  const auto shared_barrier = static_cast<uint32_t>(__cvta_generic_to_shared(barrier));
  const auto shared_to = static_cast<uint32_t>(__cvta_generic_to_shared(to));
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
// Messages that complete a transaction of the receiver's mbarrier: nobody waits for what another one has written to be
// acknowledged, as in a barrier of the cluster.
TOKENDRAW_DEVICE uint32_t shared_of_rank(const void* shared, uint32_t rank) {
  uint32_t address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(address)
      : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))), "r"(rank));
  return address;
}
TOKENDRAW_DEVICE void open_inbox(Inbox* inbox, uint32_t announcements) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(inbox))),
               "r"(announcements)
               : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
TOKENDRAW_DEVICE void announce(Inbox* inbox, uint32_t rank, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.relaxed.cluster.shared::cluster.b64 _, [%0], %1;" ::"r"(shared_of_rank(inbox, rank)),
      "r"(bytes)
      : "memory");
}
TOKENDRAW_DEVICE void send(uint64_t* to, uint32_t index, const uint64_t& value, Inbox* inbox, uint32_t rank) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b64 [%0], %1, [%2];" ::"r"(
                   shared_of_rank(to, rank) + index * static_cast<uint32_t>(sizeof value)),
               "l"(value), "r"(shared_of_rank(inbox, rank))
               : "memory");
}
TOKENDRAW_DEVICE void send(Words16* to, uint32_t index, const Words16& value, Inbox* inbox, uint32_t rank) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
                   shared_of_rank(to, rank) + index * static_cast<uint32_t>(sizeof value)),
               "r"(value.word[0]), "r"(value.word[1]), "r"(value.word[2]), "r"(value.word[3]),
               "r"(shared_of_rank(inbox, rank))
               : "memory");
}
template <int kWave>
TOKENDRAW_DEVICE void wait_for_inbox(Inbox* inbox) {
  const auto shared_inbox = static_cast<uint32_t>(__cvta_generic_to_shared(inbox));
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n .reg .pred p;\n mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0;\n"
        " selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(shared_inbox)
        : "memory");
  }
}
#else
inline constexpr bool kHasClusters = false;
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

inline constexpr bool kAddsWideInShared = false;  // a loop of exchanges
TOKENDRAW_DEVICE uint32_t atomic_add(uint32_t* to, uint32_t value) { return atomicAdd(to, value); }
TOKENDRAW_DEVICE uint64_t atomic_add(uint64_t* to, uint64_t value) {
  return atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}
// Two additions of 32 bits, of which the first tells the carry: one of 64 bits is a loop.
TOKENDRAW_DEVICE void add_in_shared(uint64_t* to, uint64_t value) {
  auto* halves = reinterpret_cast<unsigned int*>(to);
  const auto low = static_cast<uint32_t>(value);
  const uint32_t old = atomicAdd(halves, low);
  atomicAdd(halves + 1, static_cast<uint32_t>(value >> 32) + (old + low < low ? 1 : 0));
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

TOKENDRAW_DEVICE void prefetch(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }

TOKENDRAW_DEVICE float max_number(float a, float b) { return fmaxf(a, b); }
// PTX ISA 9.0, "ex2": the largest relative error is 2^-22. tests/gpu/cuda looks at every float.
TOKENDRAW_DEVICE float exp2_estimate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
TOKENDRAW_DEVICE int count_bits(uint64_t bits) { return __popcll(bits); }
TOKENDRAW_DEVICE int first_bit(uint64_t bits) { return __ffsll(static_cast<long long>(bits)) - 1; }
TOKENDRAW_DEVICE int leading_zeros(uint32_t bits) { return __clz(static_cast<int>(bits)); }

}  // namespace tokendraw::gpu::platform
