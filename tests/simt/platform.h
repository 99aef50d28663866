// SPDX-License-Identifier: Apache-2.0
// The emulator: the platform (src/gpu/platform/platform.h says what each name means) on a CPU. Included by that header
// where TOKENDRAW_PLATFORM_SIMT is defined. control.h makes its devices fail, defer or look different.
//
// Every device function that lanes call together takes the caller's place in the source as its last argument by
// default: lanes that meet must come from the same place.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <type_traits>

#include "driver.h"
#include "machine.h"

#define TOKENDRAW_KERNEL
#define TOKENDRAW_DEVICE inline
#define TOKENDRAW_DEVICE_CALL inline
#define TOKENDRAW_LAUNCH_BOUNDS(threads, blocks)
#define TOKENDRAW_GRID_CONSTANT
#define TOKENDRAW_SHARED(Type, name)                                                   \
  static_assert(std::is_trivially_copyable_v<Type>, "shared memory begins undefined"); \
  static_assert(alignof(Type) <= 16, "shared memory is aligned to 16 bytes");          \
  static char name##_key_;                                                             \
  Type& name = *static_cast<Type*>(::tokendraw::gpu::platform::simt::static_shared(&name##_key_, sizeof(Type), #name))
#define TOKENDRAW_SHARED_DYNAMIC(Type, name)                                           \
  static_assert(std::is_trivially_copyable_v<Type>, "shared memory begins undefined"); \
  static_assert(alignof(Type) <= 16, "shared memory is aligned to 16 bytes");          \
  Type* name = static_cast<Type*>(::tokendraw::gpu::platform::simt::dynamic_shared(#name))

namespace tokendraw::gpu::platform {

// ---- Device

inline uint32_t thread_index() { return simt::machine.lane->thread; }
inline uint32_t block_threads() { return simt::machine.shape.threads; }
inline uint32_t block_x() { return simt::block_x(); }
inline uint32_t block_y() { return simt::block_y(); }
inline uint32_t grid_x() { return simt::machine.shape.grid_x; }
inline uint32_t grid_y() { return simt::machine.shape.grid_y; }

inline uint32_t list_limit(uint32_t capacity) {
  const uint32_t limit = simt::machine.list_limit;
  return limit != 0 && limit < capacity ? limit : capacity;
}

inline void block_barrier(simt::Site site = simt::here()) {
  (void)simt::meet_block(simt::Meeting::kBlockBarrier, false, site);
}
inline bool block_any(bool value, simt::Site site = simt::here()) {
  return simt::meet_block(simt::Meeting::kBlockAny, value, site) != 0;
}
inline uint32_t block_count(bool value, simt::Site site = simt::here()) {
  return simt::meet_block(simt::Meeting::kBlockCount, value, site);
}

inline uint32_t cluster_rank() { return simt::cluster_rank(); }
inline uint32_t cluster_blocks() { return simt::machine.shape.cluster_blocks; }
inline void cluster_barrier(simt::Site site = simt::here()) {
  (void)simt::meet_block(simt::Meeting::kClusterBarrier, false, site);
}
inline void cluster_arrive() {}
inline void cluster_wait(simt::Site site = simt::here()) { cluster_barrier(site); }
// Only after a cluster_barrier: another block's memory may be touched once it is known to have begun.
template <typename T>
T* cluster_map(T* shared, uint32_t rank, simt::Site site = simt::here()) {
  return static_cast<T*>(simt::map_shared(shared, rank, site));
}

template <int kWave>
void warp_barrier(simt::Site site = simt::here()) {
  (void)simt::meet_warp(simt::Meeting::kWarpBarrier, kWave, 0, site);
}

namespace simt {

template <typename T>
uint64_t to_bits(T value) {
  static_assert(std::is_same_v<T, int32_t> || std::is_same_v<T, uint32_t> || std::is_same_v<T, float> ||
                std::is_same_v<T, uint64_t>);
  if constexpr (sizeof(T) == 8) {
    return value;
  } else {
    return std::bit_cast<uint32_t>(value);
  }
}
template <typename T>
T from_bits(uint64_t bits) {
  if constexpr (sizeof(T) == 8) {
    return bits;
  } else {
    return std::bit_cast<T>(static_cast<uint32_t>(bits));
  }
}
// A lane number beyond the warp means another lane on each vendor's hardware.
inline void check_lane(uint32_t lane, int wave, Site site) {
  if (lane >= static_cast<uint32_t>(wave)) fail("a shuffle names lane " + std::to_string(lane), site);
}

}  // namespace simt

template <int kWave, typename T>
T warp_shuffle(T value, uint32_t lane, simt::Site site = simt::here()) {
  simt::check_lane(lane, kWave, site);
  return simt::from_bits<T>(simt::meet_warp(simt::Meeting::kShuffle, kWave, simt::to_bits(value), site)[lane]);
}
template <int kWave, typename T>
T warp_shuffle_up(T value, uint32_t by, simt::Site site = simt::here()) {
  simt::check_lane(by, kWave, site);
  const uint64_t* values = simt::meet_warp(simt::Meeting::kShuffleUp, kWave, simt::to_bits(value), site);
  const uint32_t lane = simt::machine.lane->index;
  return lane < by ? value : simt::from_bits<T>(values[lane - by]);
}
template <int kWave, typename T>
T warp_shuffle_xor(T value, uint32_t mask, simt::Site site = simt::here()) {
  simt::check_lane(mask, kWave, site);
  const uint64_t* values = simt::meet_warp(simt::Meeting::kShuffleXor, kWave, simt::to_bits(value), site);
  return simt::from_bits<T>(values[simt::machine.lane->index ^ mask]);
}
template <int kWave>
uint64_t warp_ballot(bool value, simt::Site site = simt::here()) {
  const uint64_t* values = simt::meet_warp(simt::Meeting::kBallot, kWave, value ? 1 : 0, site);
  uint64_t bits = 0;
  for (int lane = 0; lane < kWave; lane++) bits |= values[lane] << lane;
  return bits;
}

template <int kWave>
uint32_t warp_add(uint32_t value, simt::Site site = simt::here()) {
  const uint64_t* values = simt::meet_warp(simt::Meeting::kAdd, kWave, value, site);
  uint32_t sum = 0;
  for (int lane = 0; lane < kWave; lane++) sum += static_cast<uint32_t>(values[lane]);
  return sum;
}

template <int kWave>
uint32_t warp_largest(uint32_t value, simt::Site site = simt::here()) {
  const uint64_t* values = simt::meet_warp(simt::Meeting::kLargest, kWave, value, site);
  uint32_t largest = 0;
  for (int lane = 0; lane < kWave; lane++) {
    if (values[lane] > largest) largest = static_cast<uint32_t>(values[lane]);
  }
  return largest;
}

// A copy is done by the first thread that waits for it; until then its destination is garbage.
struct CopyBarrier {
  void* to;
  const void* from;
  uint32_t bytes;
  uint32_t state;
};
inline constexpr bool kHasClusters = true;

namespace simt {
inline constexpr uint32_t kCopyReady = 0xc0b9a11cu;
inline constexpr uint32_t kCopyBegun = 0xc0b9be61u;
inline constexpr uint32_t kCopyDone = 0xc0b9d05eu;
}  // namespace simt

inline void prepare_copy(CopyBarrier* barrier, simt::Site site = simt::here()) {
  simt::check_address(&barrier->state, sizeof barrier->state, site);
  barrier->state = simt::kCopyReady;
}
inline void begin_copy(CopyBarrier* barrier, void* to, const void* from, uint32_t bytes,
                       simt::Site site = simt::here()) {
  simt::check_address(&barrier->state, sizeof barrier->state, site);
  if (barrier->state != simt::kCopyReady) simt::fail("begin_copy of a copy that was not prepared", site);
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0 || bytes % 16 != 0) {
    simt::fail("begin_copy of something that is not a multiple of 16 bytes", site);
  }
  for (uint32_t i = 0; i < bytes; i += 16) {
    simt::check_address(static_cast<const char*>(to) + i, 16, site);
    simt::check_address(static_cast<const char*>(from) + i, 16, site);
  }
  *barrier = {to, from, bytes, simt::kCopyBegun};
}
inline void finish_copy(CopyBarrier* barrier, simt::Site site = simt::here()) {
  simt::check_address(&barrier->state, sizeof barrier->state, site);
  if (barrier->state == simt::kCopyDone) return;
  if (barrier->state != simt::kCopyBegun) simt::fail("finish_copy of a copy that was not begun", site);
  std::memcpy(barrier->to, barrier->from, barrier->bytes);
  barrier->state = simt::kCopyDone;
}

// Messages are kept until all that is announced has been sent, and are delivered then.
using simt::Inbox;
inline void open_inbox(Inbox* inbox, uint32_t announcements, simt::Site site = simt::here()) {
  simt::check_address(inbox, 8, site);
  *inbox = {announcements, 0, simt::kInboxOpen};
}
inline void announce(Inbox* inbox, uint32_t rank, uint32_t bytes, simt::Site site = simt::here()) {
  simt::preemption_point(site);
  simt::announce_bytes(static_cast<Inbox*>(simt::map_shared(inbox, rank, site)), bytes, site);
}
template <typename T>
void send(T* to, uint32_t index, const T& value, Inbox* inbox, uint32_t rank, simt::Site site = simt::here()) {
  static_assert(sizeof(T) == 8 || sizeof(T) == 16);
  simt::check_address(to + index, sizeof(T), site);
  simt::preemption_point(site);
  simt::send_bytes(simt::map_shared(to + index, rank, site), &value, sizeof(T),
                   static_cast<Inbox*>(simt::map_shared(inbox, rank, site)), site);
}
template <int kWave>
void wait_for_inbox(Inbox* inbox, simt::Site site = simt::here()) {
  simt::wait_for_inbox(inbox, kWave, site);
}

inline void wait_for_earlier_kernels() {}  // kernels run one after the other
inline void let_next_kernel_begin() {}
template <typename Arguments>
void read_early(const Arguments&) {}

namespace simt {

template <typename T, typename Operation>
T change(T* memory, Operation operation, Site site) {
  preemption_point(site);
  check_address(memory, sizeof(T), site);
  const T old = *memory;
  *memory = operation(old);
  return old;
}

}  // namespace simt

#if defined(TOKENDRAW_SIMT_AS_HIP)
inline constexpr bool kAddsWideInShared = true;
inline constexpr bool kHasSmallBlocks = false;
inline constexpr int kLogitsAtOnce = 8;
#else
inline constexpr bool kAddsWideInShared = false;
inline constexpr bool kHasSmallBlocks = true;
inline constexpr int kLogitsAtOnce = 16;
#endif
inline constexpr int kLoadsAtOnce = 1;
inline uint32_t atomic_add(uint32_t* to, uint32_t value, simt::Site site = simt::here()) {
  return simt::change(
      to, [=](uint32_t old) { return old + value; }, site);
}
inline uint64_t atomic_add(uint64_t* to, uint64_t value, simt::Site site = simt::here()) {
  return simt::change(
      to, [=](uint64_t old) { return old + value; }, site);
}
inline void add_in_shared(uint64_t* to, uint64_t value, simt::Site site = simt::here()) { atomic_add(to, value, site); }
inline uint32_t atomic_max(uint32_t* to, uint32_t value, simt::Site site = simt::here()) {
  return simt::change(
      to, [=](uint32_t old) { return old < value ? value : old; }, site);
}
inline uint32_t atomic_or(uint32_t* to, uint32_t value, simt::Site site = simt::here()) {
  return simt::change(
      to, [=](uint32_t old) { return old | value; }, site);
}
inline uint64_t atomic_min(uint64_t* to, uint64_t value, simt::Site site = simt::here()) {
  return simt::change(
      to, [=](uint64_t old) { return value < old ? value : old; }, site);
}
inline uint64_t atomic_exchange_if(uint64_t* to, uint64_t expected, uint64_t desired, simt::Site site = simt::here()) {
  return simt::change(
      to, [=](uint64_t old) { return old == expected ? desired : old; }, site);
}
inline void fence_device(simt::Site site = simt::here()) { simt::preemption_point(site); }

template <typename T>
T load_shared_result(const T* from, simt::Site site = simt::here()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  simt::preemption_point(site);
  simt::check_address(from, sizeof(T), site);
  return *from;
}
inline Words16 load_words(const void* from, bool, simt::Site site = simt::here()) {
  simt::check_address(from, sizeof(Words16), site);
  Words16 words;
  std::memcpy(&words, from, sizeof words);
  return words;
}
template <typename T>
T load_value(const T* from, simt::Site site = simt::here()) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);
  simt::check_address(from, sizeof(T), site);
  return *from;
}

inline void prefetch(const void* from, simt::Site site = simt::here()) { simt::check_address(from, 1, site); }

inline float max_number(float a, float b) { return __builtin_fmaxf(a, b); }
// As wrong as a device's may be, one way or the other by a bit of x.
inline float exp2_estimate(float x) {
  constexpr double kOff = 0x1.fp-23;  // what is left of 2^-22 is more than the rounding to float
  const bool up = (std::bit_cast<uint32_t>(x) * 0x9e3779b9u >> 31) != 0;
  const auto y = static_cast<float>(std::exp2(static_cast<double>(x)) * (up ? 1 + kOff : 1 - kOff));
  return y < 0x1p-126f ? 0.0f : y;
}
inline float max_or_nan(float a, float b) { return a != a ? a : b != b ? b : max_number(a, b); }

namespace simt {
// 16-bit floats by their bits; `infinity` tells the format.
inline uint32_t max_or_nan_16(uint32_t a, uint32_t b, uint32_t infinity) {
  if ((a & 0x7fffu) > infinity || (b & 0x7fffu) > infinity) return 0x7fff;
  const auto ordered = [](uint32_t x) { return (x & 0x8000u) != 0 ? 0xffffu - x : x | 0x8000u; };
  return ordered(a) < ordered(b) ? b : a;
}
inline uint32_t max_or_nan_pair(uint32_t a, uint32_t b, uint32_t infinity) {
  return max_or_nan_16(a & 0xffffu, b & 0xffffu, infinity) | max_or_nan_16(a >> 16, b >> 16, infinity) << 16;
}
}  // namespace simt

inline uint32_t max_or_nan_bf16_pair(uint32_t a, uint32_t b) { return simt::max_or_nan_pair(a, b, 0x7f80u); }
inline uint32_t max_or_nan_f16_pair(uint32_t a, uint32_t b) { return simt::max_or_nan_pair(a, b, 0x7c00u); }

// As if one wave width came with them and the other without, so that both ways are run; HIP has neither.
#if defined(TOKENDRAW_SIMT_AS_HIP)
inline constexpr int kWaveWithMore = 0;
#else
inline constexpr int kWaveWithMore = 32;
#endif
template <int kWave>
inline constexpr bool kHasMaxOrNan = kWave == kWaveWithMore;
template <int kWave>
inline constexpr bool kFastDoubles = kWave == kWaveWithMore;
inline double add_toward_zero(double a, double b) {
  const double sum = a + b;  // to nearest; what it is off by is exact for |a| >= |b|
  const double above = sum - a - b;
  return above != 0 && (above > 0) == (sum > 0) ? std::nextafter(sum, 0.0) : sum;
}
inline int count_bits(uint64_t bits) { return std::popcount(bits); }
inline int first_bit(uint64_t bits, simt::Site site = simt::here()) {
  if (bits == 0) simt::fail("first_bit of zero", site);
  return std::countr_zero(bits);
}
inline int leading_zeros(uint32_t bits) { return std::countl_zero(bits); }

// ---- Host: driver.h has the functions that take no kernel

template <typename... Parameters>
Error probe(void (*)(Parameters...)) {
  return {};
}

template <typename... Parameters>
Error launch(void (*kernel)(Parameters...), Grid grid, uint32_t threads, Stream stream, Parameters... arguments) {
  return simt::launch_function({grid.x, grid.y, threads, 1, 0}, stream, [=] { kernel(arguments...); });
}
template <typename... Parameters>
bool has_cluster_code(void (*)(Parameters...)) {
  return true;
}
template <typename... Parameters>
Error allow_shapes(void (*)(Parameters...), const DeviceProperties&) {
  return {};
}
inline bool is_about_shape(Error error) { return error.code == simt::kShapeRefused; }

template <typename... Parameters>
Error launch_shaped(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream, Parameters... arguments) {
  return simt::launch_function(
      {shape.grid.x, shape.grid.y, shape.threads, shape.cluster_blocks, shape.dynamic_shared_bytes}, stream,
      [=] { kernel(arguments...); });
}

}  // namespace tokendraw::gpu::platform
