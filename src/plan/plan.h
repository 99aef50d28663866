// SPDX-License-Identifier: Apache-2.0
// What will run for a batch, decided from its shape, the sampler's choices and facts about the device, and from nothing
// else: no logits, no parameter arrays, no clock. A plan is a value: comparable and printable on any machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "plan/gpu_plan.h"
#include "request/request.h"

namespace tokendraw::plan {

enum class Backend : int32_t { kCpu = 1, kCuda = 2, kHip = 3 };
enum class Algorithm : int32_t { kCandidates = 1, kRefine = 2, kReference = 3, kRejection = 4 };

struct DeviceFacts {
  Backend backend;
  const char* target;  // SIMD target or architecture, static storage
  int32_t compute_units;
  int32_t wave_width;          // lanes in a warp of a GPU; 0 for a CPU, the same below
  int32_t cluster_blocks;      // the most of a cluster; 1: there are none
  int32_t block_shared_bytes;  // shared memory, the most of a block
};

struct Choices {
  TokendrawAlgorithm algorithm;
  int32_t threads;
  TokendrawGpuWay gpu_way;
};

// What the plan depends on of a request.
struct Shape {
  int32_t vocab;
  int64_t rows;
  request::Dtype dtype;
  bool edited;     // mask, bias or penalties: logits pass through a small buffer
  bool has_lists;  // sparse bias or history
  int64_t bias_entries;
  int64_t history_entries;
  bool wants_logprob;
};

struct Plan {
  Backend backend;
  Algorithm algorithm;
  bool algorithm_forced;
  TokendrawGpuWay asked_way;  // of a GPU; gpu.way is what came of it
  const char* target;
  int32_t threads;          // that take part, the caller's included
  int32_t chunk;            // logits per group maximum
  int32_t chunks;           // in a row
  int32_t candidate_top_k;  // the largest top_k that `candidates` serves by group maxima; beyond it, `refine`
  GpuPlan gpu;              // zeros for the CPU
  Shape shape;

  friend bool operator==(const Plan& a, const Plan& b);
};

Shape shape_of(const request::Request& request);

// A pure function. Every choice is valid for every shape.
Plan make_plan(const Shape& shape, const Choices& choices, const DeviceFacts& facts);

// "key: value" lines, zero-terminated, cut to `capacity`. Returns the bytes of the whole text with its zero.
size_t describe(const Plan& plan, char* text, size_t capacity);

}  // namespace tokendraw::plan
