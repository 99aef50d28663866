// SPDX-License-Identifier: Apache-2.0
// One row of each building block, on the CPU.
#pragma once

#include "cpu/simd/chunk_kernels.h"
#include "request/operation.h"

namespace tokendraw::cpu {

void softmax_row(const request::Operation& operation, int64_t row, const ChunkKernels& kernels);
void filter_row(const request::Operation& operation, int64_t row, const ChunkKernels& kernels);
void prefix_sum_row(const request::Operation& operation, int64_t row);
void random_row(const request::Operation& operation, int64_t row);

}  // namespace tokendraw::cpu
