// SPDX-License-Identifier: Apache-2.0
// The GPU's part of a plan: how a row is cut, over how many blocks, and what memory that takes. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tokendraw::plan {

struct Plan;
struct Shape;
struct DeviceFacts;

// What every kernel is compiled for.
inline constexpr int32_t kGpuBlockThreads = 512;
inline constexpr int32_t kGpuSmallBlockThreads = 256;  // where rows are many,
inline constexpr int32_t kGpuManyRows = 2;             // more than so many a multiprocessor,
// and where four of these blocks find room in its shared memory, so that as many threads are under way.
inline constexpr int32_t kGpuSmallBlocksSharedBytes = 4 * 28 * 1024;
inline constexpr int32_t kGpuMaxGroups = 512;  // group maxima of a row, in shared memory: one a thread

// The largest number of rows that are split over blocks, and of blocks that share a row. They bound the workspace.
inline constexpr int32_t kGpuMaxSplitRows = 64;
inline constexpr int32_t kGpuMaxSplits = 64;
inline constexpr int32_t kGpuBuckets = 1024;       // of a histogram
inline constexpr int32_t kGpuListCapacity = 1536;  // keys of a row's list in the workspace,
inline constexpr int32_t kGpuMaxListRows = 32;     // where there are not more rows than this
inline constexpr int32_t kGpuSearchStateBytes = 32;
inline constexpr int32_t kGpuRowStateBytes = 256;  // of a row's inputs, kept from one kernel to the next

// Of the kernel whose clusters of blocks hold rows in shared memory. More rows are served sooner by a block each: on an
// H200 the two ways meet between 64 and 128 rows (docs/performance.md).
inline constexpr int64_t kGpuMaxClusterRows = 64;
// Half as many rows again as find room at the same time; 64 f32 rows of 128256 are 1.3 times as many, and top-k + top-p
// takes 26 us so, 31 split over blocks (H200, docs/performance.md).
inline constexpr int64_t kGpuClusterHalfTurns = 3;
inline constexpr int32_t kGpuClusterThreads = 256;            // of a block
inline constexpr int32_t kGpuClusterBlocksAtOnce = 3;         // that a multiprocessor has registers for
inline constexpr int32_t kGpuClusterGroups = 128;             // of a block, at most
inline constexpr int32_t kGpuClusterMaxima = 1024;            // that the blocks of a cluster tell each other
inline constexpr int32_t kGpuClusterStaticBytes = 12 * 1024;  // of shared memory beside the logits, at most

// What works on a row: TokendrawGpuWay, but AUTO only where it is asked for.
enum class GpuWay : int32_t { kAuto = 0, kBlock = 1, kSmallBlock = 2, kSplit = 3, kCluster = 4 };

struct GpuPlan {
  GpuWay way;
  int32_t wave_width;            // lanes in a warp
  int32_t line;                  // logits that a warp reads at once: 16 bytes a lane
  int32_t group_lines;           // lines of one group maximum, a power of two
  int32_t block_threads;         // of the block or blocks of a row
  int32_t groups;                // the most that a row has, whatever its alignment
  int32_t splits;                // blocks that share a row through memory; 1: one block does all of it
  int32_t cluster;               // blocks of the cluster that holds a row in shared memory; 0: rows are not held
  int32_t cluster_shared_bytes;  // of a block, for logits
  int32_t block_lines;           // of a row's, for each of them but the last
  int32_t warp_groups;           // of a block's, for each warp but the last ones
  int32_t launches;              // kernels and fills that one call enqueues

  friend bool operator==(const GpuPlan&, const GpuPlan&) = default;
};

// By the way asked for, if it can serve the shape on the device.
GpuPlan make_gpu_plan(const Shape& shape, GpuWay asked, const DeviceFacts& facts);

// One block a row, which every device can run.
GpuPlan make_one_block_plan(const Shape& shape, GpuWay way, int32_t wave_width);

// What is known of a device's clusters and shared memory by its architecture; 1 and 0 of one that is not known.
void set_target_facts(const char* target, DeviceFacts* facts);

// Bytes of device memory at any alignment. Never less for a larger vocab, rows or entries.
size_t gpu_workspace_bytes(const Plan& plan);

// Where the parts of the workspace are, in bytes from its start, which the kernels align to 16.
struct GpuWorkspaceLayout {
  // Of rows that are split
  size_t group_max;   // float [rows][groups]
  size_t group_mass;  // uint64 [rows][groups]
  size_t split_nan;   // uint32 [rows][splits]
  size_t row_state;   // [rows][kGpuRowStateBytes]
  // For the search for the cut of top_p
  size_t histogram;     // uint64 [rows][kGpuBuckets]
  size_t search_state;  // [rows][kGpuSearchStateBytes]
  size_t list;          // uint64 [rows][kGpuListCapacity], for at most kGpuMaxListRows
  // Of lists: all of it is filled with zeros at first
  size_t lists;
  size_t slots_taken;  // uint64: slots given to rows so far
  size_t row_slots;    // uint64 [rows][2]: first slot of the row's table, for bias and history; ~0: it has none
  size_t row_status;   // uint32 [rows]
  size_t listed;       // uint32 [rows][2][words]: bit id is set if the id is listed
  size_t slots;        // uint64: (id + 1) << 32 | entry, 2 for each entry; 0: empty
  size_t slot_count;
  size_t bytes;
};

GpuWorkspaceLayout gpu_workspace_layout(const Plan& plan);

}  // namespace tokendraw::plan
