// SPDX-License-Identifier: Apache-2.0
#include "plan/gpu_plan.h"

#include <cstring>

#include "plan/amd_targets.h"
#include "plan/plan.h"

namespace tokendraw::plan {
namespace {

constexpr int32_t kVectorBytes = 16;
constexpr int32_t kClusterPartBytes = 65 * 1024;  // of a row, in one block: three fit into a multiprocessor of 228 KB

int32_t divide_up(int32_t a, int32_t b) { return (a + b - 1) / b; }

// The first line begins at a 16-byte boundary, so up to a vector less one of it may lie before the row.
int32_t lines_of_row(int32_t vocab, int32_t vector, int32_t line) { return divide_up(vocab + vector - 1, line); }

size_t align_up(size_t bytes) { return (bytes + 15) / 16 * 16; }

// Tables for one row at most.
int64_t list_slots(const Shape& shape) { return 2 * (shape.bias_entries + shape.history_entries); }

// The blocks of a cluster that holds a row, 0 if none can: as many as leave no multiprocessor without one, for a
// block's share is then read and searched soonest; but no share so large that fewer blocks fit into a multiprocessor,
// nor so small that warps have nothing to do. Unless it is asked for, most rows must find room at the same time: where
// many would wait for others another way is as fast or faster. Sets *lines_each to the lines that a block has at most.
int32_t choose_cluster(const Shape& shape, bool asked, const DeviceFacts& facts, int32_t source_lines,
                       int32_t* lines_each) {
  if (facts.cluster_blocks < 2 || (!asked && shape.rows > kGpuMaxClusterRows)) return 0;
  // An edited row is held as floats.
  const int32_t lines_of_source = shape.edited && shape.dtype != request::Dtype::kF32 ? 2 : 1;
  const int32_t line_bytes = kVectorBytes * facts.wave_width;
  const auto lines = [&](int32_t blocks) { return divide_up(source_lines, blocks) * lines_of_source; };
  const int32_t room = facts.block_shared_bytes - kGpuClusterStaticBytes;
  const int64_t rows = shape.rows > 1 ? shape.rows : 1;
  const int32_t warps = kGpuClusterThreads / facts.wave_width;
  int32_t blocks = 2;  // one that is alone has nobody to send to, and a launch without a cluster no such instruction
  for (; 2 * blocks <= facts.cluster_blocks; blocks *= 2) {
    *lines_each = lines(blocks);
    const bool small = int64_t{*lines_each} * line_bytes <= kClusterPartBytes;
    const bool busy = 2 * rows * blocks > facts.compute_units || *lines_each <= 2 * warps;
    if (small && busy) break;
  }
  *lines_each = lines(blocks);
  const int64_t bytes = int64_t{*lines_each} * line_bytes;
  if (bytes > room) return 0;
  if (asked) return blocks;
  // The system takes 1 KB of a multiprocessor's shared memory for each block, and no block gets the last one.
  constexpr int32_t kSystemBytes = 1024;
  int64_t at_once = (facts.block_shared_bytes + kSystemBytes) / (bytes + kGpuClusterStaticBytes + kSystemBytes);
  if (at_once > kGpuClusterBlocksAtOnce) at_once = kGpuClusterBlocksAtOnce;
  return 2 * rows * blocks <= kGpuClusterHalfTurns * at_once * facts.compute_units ? blocks : 0;
}

// Blocks of kGpuBlockThreads that a multiprocessor holds at the same time: what the kernels are compiled for at least.
int32_t blocks_at_once(const DeviceFacts& facts) {
  constexpr int32_t kLaunchBound = 2;
  const AmdTarget* amd = facts.backend == Backend::kHip ? find_amd_target(facts.target) : nullptr;
  return amd != nullptr ? amd->blocks_at_once : kLaunchBound;
}

// The blocks that share a row, 1 if it is not to be split. Few rows leave multiprocessors idle: each is shared among
// blocks until every one has as many as it holds, as long as a block's warps have two lines each to read.
int32_t choose_splits(const Shape& shape, bool asked, const DeviceFacts& facts, int32_t lines) {
  const int64_t rows = shape.rows > 1 ? shape.rows : 1;
  if (rows > kGpuMaxSplitRows || (!asked && rows >= facts.compute_units)) return 1;
  int64_t splits = int64_t{blocks_at_once(facts)} * facts.compute_units / rows;
  if (splits < 2) splits = 2;
  const int64_t useful = divide_up(lines, 2 * (kGpuBlockThreads / facts.wave_width));
  if (splits > useful) splits = useful;
  if (splits > kGpuMaxSplits) splits = kGpuMaxSplits;
  return static_cast<int32_t>(splits > 1 ? splits : 1);
}

// Compute capabilities (NVIDIA, CUDA C++ Programming Guide 13.0, "Compute Capabilities"): the most blocks of a cluster,
// and the most shared memory of a block. Clusters of 16 blocks are more than every device of a kind must serve; a
// device that is there is asked.
struct CudaTarget {
  const char* name;
  int32_t cluster_blocks;
  int32_t block_shared_bytes;
};
constexpr CudaTarget kCudaTargets[] = {
    {"sm_75", 1, 64 * 1024},    {"sm_80", 1, 163 * 1024},  {"sm_86", 1, 99 * 1024},    {"sm_87", 1, 163 * 1024},
    {"sm_89", 1, 99 * 1024},    {"sm_90", 16, 227 * 1024}, {"sm_100", 16, 227 * 1024}, {"sm_103", 16, 227 * 1024},
    {"sm_110", 16, 227 * 1024}, {"sm_120", 8, 99 * 1024},  {"sm_121", 8, 99 * 1024},
};

}  // namespace

void set_target_facts(const char* target, DeviceFacts* facts) {
  facts->cluster_blocks = 1;
  facts->block_shared_bytes = 0;
  for (const CudaTarget& known : kCudaTargets) {
    if (std::strcmp(target, known.name) != 0) continue;
    facts->cluster_blocks = known.cluster_blocks;
    facts->block_shared_bytes = known.block_shared_bytes;
  }
}

GpuPlan make_one_block_plan(const Shape& shape, GpuWay way, int32_t wave_width) {
  GpuPlan gpu = {};
  const int32_t vector = kVectorBytes / static_cast<int32_t>(request::dtype_bytes(shape.dtype));
  gpu.way = way;
  gpu.block_threads = way == GpuWay::kSmallBlock ? kGpuSmallBlockThreads : kGpuBlockThreads;
  gpu.wave_width = wave_width;
  gpu.line = vector * wave_width;
  const int32_t most_groups = gpu.block_threads < kGpuMaxGroups ? gpu.block_threads : kGpuMaxGroups;
  const int32_t lines = lines_of_row(shape.vocab, vector, gpu.line);
  gpu.group_lines = 1;
  while (divide_up(lines, gpu.group_lines) > most_groups) gpu.group_lines *= 2;
  gpu.groups = divide_up(lines, gpu.group_lines);
  gpu.splits = 1;
  gpu.launches = 1 + (shape.has_lists ? 2 : 0);
  return gpu;
}

GpuPlan make_gpu_plan(const Shape& shape, GpuWay asked, const DeviceFacts& facts) {
  GpuPlan gpu = make_one_block_plan(shape, GpuWay::kBlock, facts.wave_width);
  const int32_t vector = kVectorBytes / static_cast<int32_t>(request::dtype_bytes(shape.dtype));
  const int32_t lines = lines_of_row(shape.vocab, vector, gpu.line);
  if (asked == GpuWay::kBlock) return gpu;
  // Of AMD's multiprocessors none that was looked at has room for four blocks, so their kernels are not compiled.
  const bool has_small_blocks =
      facts.backend == Backend::kCuda && facts.block_shared_bytes >= kGpuSmallBlocksSharedBytes;
  const bool many_rows = shape.rows > kGpuManyRows * int64_t{facts.compute_units};
  if (asked == GpuWay::kSmallBlock && has_small_blocks) return make_one_block_plan(shape, asked, facts.wave_width);

  if (asked == GpuWay::kSplit) {
    gpu.splits = choose_splits(shape, true, facts, lines);
    if (gpu.splits > 1) {
      gpu.way = GpuWay::kSplit;
      gpu.launches += 3;
      return gpu;
    }
  }

  int32_t lines_each = 0;
  gpu.cluster = choose_cluster(shape, asked == GpuWay::kCluster, facts, lines, &lines_each);
  if (gpu.cluster > 0) {
    // A group of 16-bit logits that are held as they are has two maxima.
    const bool two = shape.dtype != request::Dtype::kF32 && !shape.edited;
    const int32_t told = kGpuClusterMaxima / gpu.cluster / (two ? 2 : 1);
    const int32_t most = told < kGpuClusterGroups ? told : kGpuClusterGroups;
    gpu.way = GpuWay::kCluster;
    gpu.block_threads = kGpuClusterThreads;
    gpu.group_lines = 1;
    while (divide_up(lines_each, gpu.group_lines) > most) gpu.group_lines *= 2;
    gpu.block_lines = divide_up(lines, gpu.cluster);
    gpu.warp_groups = divide_up(divide_up(lines_each, gpu.group_lines), kGpuClusterThreads / facts.wave_width);
    gpu.groups = divide_up(lines_each, gpu.group_lines) * gpu.cluster;
    gpu.cluster_shared_bytes = lines_each * kVectorBytes * facts.wave_width;
    return gpu;
  }

  gpu.splits = choose_splits(shape, false, facts, lines);
  if (gpu.splits > 1) {
    gpu.way = GpuWay::kSplit;
    gpu.launches += 3;
  } else if (many_rows && has_small_blocks) {
    return make_one_block_plan(shape, GpuWay::kSmallBlock, facts.wave_width);
  }
  return gpu;
}

GpuWorkspaceLayout gpu_workspace_layout(const Plan& plan) {
  const Shape& shape = plan.shape;
  GpuWorkspaceLayout layout = {};
  size_t end = 0;
  const auto take = [&end](size_t bytes) {
    const size_t begin = end;
    end += align_up(bytes);
    return begin;
  };
  // As if every batch small enough were split, so that a workspace for a larger batch serves a smaller one.
  const size_t rows = static_cast<size_t>(shape.rows);
  // Nothing is left from one kernel to the next where there is but one.
  const bool splits = plan.algorithm != Algorithm::kRejection;
  const size_t split_rows = !splits ? 0 : rows < kGpuMaxSplitRows ? rows : static_cast<size_t>(kGpuMaxSplitRows);
  const size_t groups = static_cast<size_t>(kGpuMaxGroups);
  layout.group_max = take(split_rows * groups * sizeof(float));
  layout.group_mass = take(split_rows * groups * sizeof(uint64_t));
  layout.split_nan = take(split_rows * static_cast<size_t>(kGpuMaxSplits) * sizeof(uint32_t));
  layout.row_state = take(split_rows * static_cast<size_t>(kGpuRowStateBytes));
  layout.histogram = take(split_rows * static_cast<size_t>(kGpuBuckets) * sizeof(uint64_t));
  layout.search_state = take(split_rows * static_cast<size_t>(kGpuSearchStateBytes));
  // The list is for fewer rows than the rest: in a larger batch others stand in its place.
  layout.list = end;
  const size_t row_bytes = split_rows > 0 ? end / split_rows : 0;
  const size_t list_rows = split_rows < kGpuMaxListRows ? split_rows : static_cast<size_t>(kGpuMaxListRows);
  const size_t with_list = list_rows * (row_bytes + static_cast<size_t>(kGpuListCapacity) * sizeof(uint64_t));
  if (with_list > end) end = with_list;
  layout.lists = end;
  if (shape.has_lists) {
    const size_t words = static_cast<size_t>(divide_up(shape.vocab, 32));
    layout.slots_taken = take(sizeof(uint64_t));
    layout.row_slots = take(rows * 2 * sizeof(uint64_t));
    layout.row_status = take(rows * sizeof(uint32_t));
    layout.listed = take(rows * 2 * words * sizeof(uint32_t));
    layout.slot_count = static_cast<size_t>(list_slots(shape));
    layout.slots = take(layout.slot_count * sizeof(uint64_t));
  }
  layout.bytes = end;
  return layout;
}

size_t gpu_workspace_bytes(const Plan& plan) {
  const size_t bytes = gpu_workspace_layout(plan).bytes;
  return bytes > 0 ? bytes + 15 : 0;  // it may begin at any address
}

}  // namespace tokendraw::plan
