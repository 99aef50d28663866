// SPDX-License-Identifier: Apache-2.0
// The only place that knows a GPU vendor. Kernels and host code name what stands here and nothing of a vendor's API.
//
// Each platform header (cuda.h, hip.h, and the emulator's under tests/simt) defines the same things:
//
// Macros
//   TOKENDRAW_KERNEL                    before a kernel, a function template or function that returns void
//   TOKENDRAW_DEVICE                    before a function that only device code calls
//   TOKENDRAW_DEVICE_CALL               the same for one that is worth a call: rare or long
//   TOKENDRAW_LAUNCH_BOUNDS(t, b)       at most t threads a block, at least b blocks resident on a multiprocessor
//   TOKENDRAW_GRID_CONSTANT             before the type of a kernel's argument that is only read
//   TOKENDRAW_SHARED(Type, name)        in a kernel: a reference `name` to one Type in the block's shared memory, whose
//                                       content is undefined at first; Type is trivial
//   TOKENDRAW_SHARED_DYNAMIC(Type, name)
//                                       in a kernel: a pointer `name` to the dynamic shared memory of the launch, at a
//                                       16-byte boundary, undefined at first; one for all functions of the kernel
//
// Device functions, in tokendraw::gpu::platform. "Warp" is a warp or wave of kWave lanes, a template argument: 32
// or 64. Blocks are one-dimensional and hold a multiple of kWave threads; grids have two dimensions.
//   uint32_t thread_index(), block_threads(), block_x(), block_y(), grid_x(), grid_y()
//   void     block_barrier()            all threads of the block; orders memory among them
//   bool     block_any(bool)            a barrier that returns whether any thread's value was true
//   uint32_t block_count(bool)          the same that returns how many threads' values were true
//   void     warp_barrier<kWave>()      all lanes of the warp; orders memory among them
//   T        warp_shuffle<kWave>(T, lane), warp_shuffle_up<kWave>(T, by), warp_shuffle_xor<kWave>(T, mask)
//                                       T: int32_t, uint32_t, float, uint64_t. All lanes of the warp call. shuffle_up
//                                       returns a lane's own value where lane < by.
//   uint64_t warp_ballot<kWave>(bool)   all lanes of the warp call; bit l is lane l's value
//   uint32_t cluster_rank(), cluster_blocks()
//                                       of the block in its cluster; 0 and 1 where there are no clusters
//   void     cluster_barrier()          all threads of the cluster; orders memory among them. Needed before the first
//                                       look at another block's memory, and before a block ends that others look at
//   void     cluster_arrive(), cluster_wait()
//                                       the two halves of such a barrier, with other work between them
//   T*       cluster_map(T*, rank)      where the block of this rank has what this block has here in shared memory
//   uint32_t warp_add<kWave>(uint32_t)  all lanes of the warp call and get the sum of their values
//   uint32_t warp_largest<kWave>(uint32_t)   the same, the largest
//   T        atomic_add(T*, T)          uint32_t, uint64_t, shared or global memory; returns the old value
//   bool     kAddsWideInShared          whether one of 64 bits in shared memory is an instruction
//   void     add_in_shared(uint64_t*, uint64_t)
//                                       the same in shared memory, by what devices do best; only such additions, and
//                                       none that looks at the sum, until the next barrier
//   T        atomic_max(T*, T), atomic_or(T*, T)   uint32_t, returns the old value
//   T        atomic_min(T*, T)          uint64_t, global memory, returns the old value
//   uint64_t atomic_exchange_if(uint64_t*, uint64_t expected, uint64_t desired)   compare and swap; the old value
//   void     fence_device()             what this thread wrote before is visible on the device before what it writes
//                                       after
//   T        load_shared_result(const T*)
//                                       a read of memory that other blocks wrote before a fence: never from a cache of
//                                       this multiprocessor. T: 4 or 8 bytes
//   Words16  load_words(const void*, bool once)
//                                       16 bytes at a 16-byte boundary of memory that no one writes during the kernel;
//                                       once: caches need not keep them
//   T        load_value(const T*)       the same for one value of 2, 4 or 8 bytes
//   void     prefetch(const void*)      a hint that the cache line at this address is read soon
//   float    max_number(float, float)   the larger; the other one if one is NaN
//   float    exp2_estimate(float)       2^x by the device's own instruction: off by a factor of at most 1 + 2^-22
//                                       either way; below 2^-126 it may be 0
// Where devices have them (kHasMaxOrNan<kWave>; elsewhere they do nothing of use):
//   float    max_or_nan(float, float)   the larger; NaN if one is NaN
//   uint32_t max_or_nan_bf16_pair(uint32_t, uint32_t), max_or_nan_f16_pair
//                                       the same for both halves of a word
// Where 64-bit float additions are worth it (kFastDoubles<kWave>):
//   double   add_toward_zero(double, double)   rounded toward zero; the first is the larger in magnitude
//   bool     kHasSmallBlocks            whether plans may ask for smaller blocks where rows are many
//   int      kLogitsAtOnce              how many logits of a row a thread works on side by side, about
//   int      kLoadsAtOnce               how many values of shared memory a thread adds up side by side: each has a
//                                       register while it does
// Where devices have clusters (kHasClusters; elsewhere these do nothing of use and no kernel that calls them is run):
//   struct CopyBarrier                  in shared memory, one for each copy of a kernel
//   void     prepare_copy(CopyBarrier*) by the thread that will begin it
//   void     begin_copy(CopyBarrier*, void* to, const void* from, uint32_t bytes)
//                                       one thread calls: a copy from global into shared memory goes on beside the
//                                       program; addresses and bytes are multiples of 16
//   void     finish_copy(CopyBarrier*)  by any thread, after a barrier with the one that began it: waits for the copy
//   struct Inbox                        in shared memory, for one delivery of messages from blocks of the cluster
//   void     open_inbox(Inbox*, uint32_t announcements)
//                                       one thread calls, before a cluster barrier that comes before the others below
//   void     announce(Inbox*, rank, uint32_t bytes)
//                                       one of as many calls as the inbox of that block was opened for, each saying how
//                                       many bytes are sent. It orders no memory
//   void     send(T* to, uint32_t index, const T& value, Inbox*, rank)
//                                       T: uint64_t, Words16. A message into to[index] of the block of this rank. The
//                                       sender need not stay until its messages have arrived
//   void     wait_for_inbox<kWave>(Inbox*)
//                                       all lanes of the warp, of the inbox's block: until all that is announced is
//                                       there, and all announcements are. A block must not end before
//   void     wait_for_earlier_kernels() of a launch that begins early: before the first look at memory and the first
//                                       write, by all threads
//   void     read_early(const Arguments&)
//                                       reads all of a kernel's arguments, whose cache is cold when it begins
//   void     let_next_kernel_begin()    such a launch behind this one may begin once all blocks have said so or ended
//   int      count_bits(uint64_t), first_bit(uint64_t) (>= 1 bit set), leading_zeros(uint32_t) (32 for 0)
//
// Host functions, in tokendraw::gpu::platform. An Error converts to bool: true is a failure.
//   struct Error { int code; const char* text() const; explicit operator bool() const; };
//   using Stream                        the vendor's stream handle, a pointer type
//   plan::Backend kBackend;  const char* name()      "cuda", "hip"
//   Error count_devices(int* count)     a missing driver or device is a failure, not a crash
//   Error read_device(int device, DeviceProperties*)
//   Error current_device(int*), use_device(int)      of the calling thread
//   Error allocate(void**, size_t), release(void*)   device memory
//   Error allocate_pinned(void**, size_t), release_pinned(void*)
//   Error create_stream(Stream*), destroy_stream(Stream), synchronize(Stream)
//   Error copy_async(void* to, const void* from, size_t, CopyKind, Stream)
//   Error fill_async(void* to, int byte, size_t, Stream)
//   Error is_capturing(Stream, bool*)
//   Error probe(kernel)                 whether the current device can run it
//   bool has_cluster_code(kernel)       whether what the current device would run of it was compiled with clusters
//   Error allow_shapes(kernel, const DeviceProperties&)
//                                       before launches of the kernel on the current device that are larger than all
//                                       devices allow
//   bool is_about_shape(Error)          whether it means a launch that the device cannot serve in its shape
//   Error launch(kernel, Grid, uint32_t threads, Stream, arguments...)
//                                       also reports what an earlier launch left behind
//   Error launch_shaped(kernel, const LaunchShape&, Stream, arguments...)
//                                       with dynamic shared memory, and in clusters of blocks along x where there are
//                                       such (elsewhere cluster_blocks other than 1 is a failure)
#pragma once

#include <cstddef>
#include <cstdint>

namespace tokendraw::gpu::platform {

struct Words16 {
  uint32_t word[4];
};

struct Grid {
  uint32_t x;
  uint32_t y;
};

struct LaunchShape {
  Grid grid;
  uint32_t threads;             // a block
  uint32_t cluster_blocks = 1;  // divides grid.x
  uint32_t dynamic_shared_bytes = 0;
  bool begins_early = false;  // beside the kernel before it in the stream, where devices can
};

enum class CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice };

struct DeviceProperties {
  char name[128];
  char target[32];  // "sm_90", "gfx1100"
  int32_t multiprocessors;
  int32_t wave_width;
  int32_t shared_bytes_per_block;
  int32_t block_shared_bytes;  // the same where it is asked for
  int32_t cluster_blocks;      // the most of a cluster that the architecture knows; 1: there are no clusters
  uint64_t memory_bytes;
};

}  // namespace tokendraw::gpu::platform

#if defined(TOKENDRAW_PLATFORM_SIMT)
#include "simt/platform.h"
#elif defined(TOKENDRAW_PLATFORM_HIP)
#include "gpu/platform/hip.h"
#else
#include "gpu/platform/cuda.h"
#endif
