// SPDX-License-Identifier: Apache-2.0
// The kernels of the building blocks as run_operation.cpp launches them: grid (rows, parts of a row),
// kOperationThreads threads.
#pragma once

#include "request/operation.h"

namespace tokendraw::gpu {

inline constexpr int kOperationThreads = 512;

using OperationKernel = void (*)(request::Operation);

template <int kWave>
OperationKernel softmax_kernel(request::Dtype dtype, request::Dtype output_dtype);
template <int kWave>
OperationKernel prefix_sum_kernel(request::Number number);

template <int kWave>
OperationKernel filter_kernel(request::Dtype dtype, bool of_probabilities);

OperationKernel random_kernel(request::Generator generator, request::RandomKind kind);

// The least that a thread of XORWOW makes, for it skips to where it begins.
inline constexpr int64_t kXorwowStretch = 256;

}  // namespace tokendraw::gpu
