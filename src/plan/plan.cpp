// SPDX-License-Identifier: Apache-2.0
#include "plan/plan.h"

#include <cstdio>
#include <cstring>

namespace tokendraw::plan {
namespace {

// Logits per group maximum on the CPU. 256 keeps the maxima of a row of 128256 in 2 KB (501 floats, so a threshold for
// top_k = 50 leaves about 53 candidates) and costs one reduction per 16 vectors of 16 floats.
constexpr int32_t kCpuChunk = 256;

const char* backend_name(Backend backend) {
  switch (backend) {
    case Backend::kCpu:
      return "cpu";
    case Backend::kCuda:
      return "cuda";
    case Backend::kHip:
      return "hip";
  }
  return "unknown";
}

const char* algorithm_name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kCandidates:
      return "candidates";
    case Algorithm::kRefine:
      return "refine";
    case Algorithm::kReference:
      return "reference";
    case Algorithm::kRejection:
      return "rejection";
  }
  return "unknown";
}

const char* dtype_name(request::Dtype dtype) {
  switch (dtype) {
    case request::Dtype::kF32:
      return "f32";
    case request::Dtype::kF16:
      return "f16";
    case request::Dtype::kBf16:
      return "bf16";
  }
  return "unknown";
}

const char* way_name(GpuWay way) {
  switch (way) {
    case GpuWay::kBlock:
      return "block";
    case GpuWay::kSmallBlock:
      return "small-block";
    case GpuWay::kSplit:
      return "split";
    case GpuWay::kCluster:
      return "cluster";
    case GpuWay::kAuto:
      break;
  }
  return "auto";
}

const char* meaning_of_way(GpuWay way) {
  switch (way) {
    case GpuWay::kBlock:
      return "one block reads a row";
    case GpuWay::kSmallBlock:
      return "many rows, each read by one block of few threads";
    case GpuWay::kSplit:
      return "few rows, each read by several blocks";
    case GpuWay::kCluster:
      return "few rows, each held in the shared memory of a cluster and read once";
    case GpuWay::kAuto:
      break;
  }
  return "";
}

const char* reason(const Plan& plan) {
  if (plan.algorithm_forced) return "the sampler's options name it";
  return "group maxima give a sure threshold in the one read; rows it cannot serve continue as refine";
}

Algorithm chosen(TokendrawAlgorithm algorithm) {
  switch (algorithm) {
    case TOKENDRAW_ALGORITHM_REFINE:
      return Algorithm::kRefine;
    case TOKENDRAW_ALGORITHM_REFERENCE:
      return Algorithm::kReference;
    case TOKENDRAW_ALGORITHM_REJECTION:
      return Algorithm::kRejection;
    case TOKENDRAW_ALGORITHM_AUTO:
    case TOKENDRAW_ALGORITHM_CANDIDATES:
      break;
  }
  return Algorithm::kCandidates;
}

static_assert(static_cast<int32_t>(TOKENDRAW_GPU_WAY_AUTO) == static_cast<int32_t>(GpuWay::kAuto) &&
              static_cast<int32_t>(TOKENDRAW_GPU_WAY_BLOCK) == static_cast<int32_t>(GpuWay::kBlock) &&
              static_cast<int32_t>(TOKENDRAW_GPU_WAY_SMALL_BLOCK) == static_cast<int32_t>(GpuWay::kSmallBlock) &&
              static_cast<int32_t>(TOKENDRAW_GPU_WAY_SPLIT) == static_cast<int32_t>(GpuWay::kSplit) &&
              static_cast<int32_t>(TOKENDRAW_GPU_WAY_CLUSTER) == static_cast<int32_t>(GpuWay::kCluster));

}  // namespace

bool operator==(const Plan& a, const Plan& b) {
  const Shape& s = a.shape;
  const Shape& t = b.shape;
  return a.backend == b.backend && a.algorithm == b.algorithm && a.algorithm_forced == b.algorithm_forced &&
         a.asked_way == b.asked_way && std::strcmp(a.target, b.target) == 0 && a.threads == b.threads &&
         a.chunk == b.chunk && a.chunks == b.chunks && a.candidate_top_k == b.candidate_top_k && s.vocab == t.vocab &&
         s.rows == t.rows && s.dtype == t.dtype && s.edited == t.edited && s.has_lists == t.has_lists &&
         s.bias_entries == t.bias_entries && s.history_entries == t.history_entries &&
         s.wants_logprob == t.wants_logprob && a.gpu == b.gpu;
}

Shape shape_of(const request::Request& request) {
  Shape shape = {};
  shape.vocab = request.vocab;
  shape.rows = request.rows;
  shape.dtype = request.dtype;
  shape.has_lists = request.has_lists();
  shape.bias_entries = request.bias_list.offsets != nullptr ? request.bias_list.entries : 0;
  shape.history_entries = request.history.offsets != nullptr ? request.history.entries : 0;
  shape.edited = shape.has_lists || request.mask != nullptr || request.bias != nullptr;
  shape.wants_logprob = request.logprob != nullptr;
  return shape;
}

Plan make_plan(const Shape& shape, const Choices& choices, const DeviceFacts& facts) {
  Plan plan = {};
  plan.backend = facts.backend;
  plan.algorithm = chosen(choices.algorithm);
  plan.algorithm_forced = choices.algorithm != TOKENDRAW_ALGORITHM_AUTO;
  plan.target = facts.target;
  if (facts.backend == Backend::kCpu) {
    const int64_t rows = shape.rows > 1 ? shape.rows : 1;
    plan.threads = choices.threads < rows ? choices.threads : static_cast<int32_t>(rows);
    plan.chunk = kCpuChunk;
    plan.chunks = (shape.vocab + kCpuChunk - 1) / kCpuChunk;
  } else {
    plan.asked_way = choices.gpu_way;
    const auto asked = static_cast<GpuWay>(choices.gpu_way);
    plan.gpu = plan.algorithm == Algorithm::kRejection ? make_one_block_plan(shape, GpuWay::kBlock, facts.wave_width)
                                                       : make_gpu_plan(shape, asked, facts);
    plan.chunk = plan.gpu.line * plan.gpu.group_lines;
    plan.chunks = plan.gpu.groups;
  }
  // The k-th largest of the group maxima bounds the k-th largest logit; it is a good bound while k is well below their
  // number, and no bound at all above it.
  plan.candidate_top_k = plan.chunks / 2;
  plan.shape = shape;
  return plan;
}

size_t describe(const Plan& plan, char* text, size_t capacity) {
  char where[400];
  if (plan.backend == Backend::kCpu) {
    std::snprintf(where, sizeof where, "threads: %d", plan.threads);
  } else {
    const GpuPlan& gpu = plan.gpu;
    char blocks[120];
    if (gpu.way == GpuWay::kCluster) {
      std::snprintf(blocks, sizeof blocks, "a cluster of %d a row, %d threads and at most %d bytes of the row each",
                    gpu.cluster, gpu.block_threads, gpu.cluster_shared_bytes);
    } else {
      std::snprintf(blocks, sizeof blocks, "%d a row, %d threads each", gpu.splits, gpu.block_threads);
    }
    const bool as_asked = static_cast<GpuWay>(plan.asked_way) == gpu.way;
    const bool asked = plan.asked_way != TOKENDRAW_GPU_WAY_AUTO;
    std::snprintf(where, sizeof where, "way: %s (%s%s)\nblocks: %s\nlaunches: %d\nworkspace: %zu bytes",
                  way_name(gpu.way),
                  plan.algorithm == Algorithm::kRejection ? "one block reads a row, once more in every round"
                                                          : meaning_of_way(gpu.way),
                  !asked     ? ""
                  : as_asked ? "; the sampler's options name it"
                             : "; what the sampler's options name cannot serve this batch",
                  blocks, gpu.launches, gpu_workspace_bytes(plan));
  }
  const int length =
      std::snprintf(text, capacity,
                    "backend: %s\ntarget: %s\nalgorithm: %s\nreason: %s\n%s\ndtype: %s\nvocab: %d\nrows: %lld\n"
                    "chunk: %d logits, %d a row\ncandidate_top_k: %d\nlogits: %s\nlogprob: %s\n",
                    backend_name(plan.backend), plan.target, algorithm_name(plan.algorithm), reason(plan), where,
                    dtype_name(plan.shape.dtype), plan.shape.vocab, static_cast<long long>(plan.shape.rows), plan.chunk,
                    plan.chunks, plan.candidate_top_k,
                    plan.shape.has_lists ? "edited while they are read (mask, bias, lists)"
                    : plan.shape.edited  ? "edited while they are read (mask, bias)"
                                         : "read as they are",
                    plan.shape.wants_logprob ? "wanted: every weight is summed" : "not wanted");
  return length < 0 ? 0 : static_cast<size_t>(length) + 1;
}

}  // namespace tokendraw::plan
