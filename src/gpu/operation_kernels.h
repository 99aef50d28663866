// SPDX-License-Identifier: Apache-2.0
// The kernels of the building blocks as run_operation.cpp launches them: grid (rows, parts of a row),
// kOperationThreads threads; those of rows that clusters hold: grid (rows * blocks of a cluster).
#pragma once

#include "request/operation.h"

namespace tokendraw::gpu {

inline constexpr int kOperationThreads = 512;

using OperationKernel = void (*)(request::Operation);

// How the blocks of a cluster share a row that they hold: a part of the sampler's plan for it.
struct ResidentShape {
  int32_t cluster_shift;  // log2 of the blocks
  int32_t block_lines;    // of a row, for each block but the last
  int32_t group_lines;    // lines of a group, a power of two
  int32_t warp_groups;    // of a block, for each warp but the last ones
};

using ResidentKernel = void (*)(request::Operation, ResidentShape);

template <int kWave>
OperationKernel softmax_kernel(request::Dtype dtype, request::Dtype output_dtype);
template <int kWave>
ResidentKernel softmax_resident_kernel(request::Dtype dtype, request::Dtype output_dtype);
template <int kWave>
OperationKernel prefix_sum_kernel(request::Number number);
// nullptr: there is none for numbers of 64 bits.
template <int kWave>
ResidentKernel prefix_sum_resident_kernel(request::Number number);

template <int kWave>
OperationKernel filter_kernel(request::Dtype dtype, bool of_probabilities);
template <int kWave>
ResidentKernel filter_resident_kernel(request::Dtype dtype, bool of_probabilities);

OperationKernel random_kernel(request::Generator generator, request::RandomKind kind);

// Shared memory of a block of kOperationThreads beside its part of a row, at most.
inline constexpr int32_t kResidentSharedBytes = 42 * 1024;

// The least that a thread of XORWOW makes, for it skips to where it begins.
inline constexpr int64_t kXorwowStretch = 256;

}  // namespace tokendraw::gpu
