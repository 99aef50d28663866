// SPDX-License-Identifier: Apache-2.0
// The emulated multiprocessor: runs the blocks of a grid with one fiber a lane, in an order drawn from a seed, and
// reports what a device would answer with a hang or with garbage. One kernel runs at a time, on one thread.
//
// A lane is left where it waits for others and, now and then, at atomics, fences, barriers and load_shared_result. What
// lies between two such places happens at once, and memory is the same for all: a store that another lane sees too
// early for want of a barrier shows up as a wrong result under some seeds; a store that it would see too late for want
// of a fence does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "fiber.h"

namespace tokendraw::gpu::platform::simt {

inline constexpr uint32_t kMaxThreads = 1024;
inline constexpr uint32_t kMaxClusterBlocks = 16;

// A place in the source, as the default argument of a device function: its caller.
struct Site {
  const char* file;
  int line;
};
constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

// What lanes can wait for together.
enum class Meeting : uint8_t {
  kNone,
  kBlockBarrier,
  kBlockAny,
  kBlockCount,
  kClusterBarrier,
  kWarpBarrier,
  kShuffle,
  kShuffleUp,
  kShuffleXor,
  kBallot,
  kAdd,
  kLargest,
  kInbox
};

// Of a block, for one delivery of messages.
struct alignas(8) Inbox {
  uint32_t announcements_left;
  int32_t bytes_left;
  uint32_t state;
};
inline constexpr uint32_t kInboxOpen = 0x1b0c09e4u;

struct Block;  // scheduler.h
struct Warp;

struct Lane {
  Context context;
  Warp* warp;
  Block* block;
  uint32_t thread;  // in its block
  uint32_t index;   // in its warp
};

struct GridShape {
  uint32_t grid_x = 1;
  uint32_t grid_y = 1;
  uint32_t threads = 1;
  uint32_t cluster_blocks = 1;  // along x
  uint32_t dynamic_shared_bytes = 0;
};

// A stretch of memory that kernels may touch.
struct Range {
  uintptr_t begin = 1;
  size_t bytes = 0;
};

struct Schedule {
  uint64_t seed = 0;
  uint32_t resident_units = 0;         // blocks (or clusters) that run at once; 0: 1 to 3, by the seed
  uint64_t idle_step_limit = 4000000;  // times that lanes may be left before one ends or a meeting takes place
};

// What device functions read of the kernel that runs.
struct Machine {
  Lane* lane = nullptr;  // nullptr: no kernel runs
  int64_t until_preemption = 0;
  GridShape shape;
  uint32_t wave = 32;
  uint32_t list_limit = 0;  // 0: none
  Range last_range;         // found by the last look-up
  uint64_t switches = 0;    // between lanes, since the program began
};
inline Machine machine;

// Runs a kernel, called once by each lane. `find_range` gives the device memory around an address, or an empty range.
// Returns false where the kernel went wrong and says how in `report`.
bool run_grid(const GridShape& shape, uint32_t wave, const std::function<void()>& kernel, const Schedule& schedule,
              const std::function<Range(uintptr_t)>& find_range, std::string* report);

// ---- For device functions. Those that find an error do not return.

[[noreturn]] void fail(std::string&& what, Site site);
const uint64_t* meet_warp(Meeting meeting, int wave, uint64_t value, Site site);  // the values of all lanes
uint32_t meet_block(Meeting meeting, bool value, Site site);                      // how many values were true
void announce_bytes(Inbox* inbox, uint32_t bytes, Site site);
void send_bytes(void* to, const void* from, size_t bytes, Inbox* inbox, Site site);
void wait_for_inbox(const Inbox* inbox, int wave, Site site);
void preempt(Site site);
void check_address_slowly(uintptr_t address, size_t bytes, Site site);
void* static_shared(const void* key, size_t bytes, const char* name);
void* dynamic_shared(const char* name);

uint32_t cluster_rank();
void* map_shared(const void* shared, uint32_t rank, Site site);  // the same place in another block of the cluster
uint32_t block_x();
uint32_t block_y();

inline void preemption_point(Site site) {
  if (--machine.until_preemption < 0) preempt(site);
}

// The kernel may touch these bytes, and the address is a multiple of their number (up to 16).
inline void check_address(const void* memory, size_t bytes, Site site) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  if (address % bytes != 0 || address < machine.last_range.begin ||
      address - machine.last_range.begin + bytes > machine.last_range.bytes) {
    check_address_slowly(address, bytes, site);
  }
}

}  // namespace tokendraw::gpu::platform::simt
