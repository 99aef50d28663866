// SPDX-License-Identifier: Apache-2.0
// Softmax, one block a row: the largest logit, the mass, the values. The second and third read come from the cache for
// rows that it holds.
#pragma once

#include "draw/softmax.h"
#include "gpu/kernels/stored_row.h"
#include "gpu/operation_kernels.h"
#include "gpu/primitives/block.h"

namespace tokendraw::gpu {

// The weight of a logit, NaN included, under a finite or infinite maximum.
TOKENDRAW_DEVICE uint64_t weight_in(const draw::SoftmaxRow& s, float x) {
  if (s.max == draw::infinity()) return x == s.max ? draw::kWeightOne : 0;
  return draw::exp2_fixed_quick(draw::mul_rn(draw::sub_rn(x, s.max), s.scale));
}

// The parameters and sums of a row, by all threads. *status has its bits.
template <typename BlockOf, typename Row, typename ToFloat>
TOKENDRAW_DEVICE draw::SoftmaxRow find_softmax_row(const Row& row, float temperature, const ToFloat& to_float,
                                                   uint32_t* status) {
  draw::SoftmaxRow s;
  if (!draw::make_softmax_row(temperature, &s)) {
    *status = draw::kBadParameter;
    return s;
  }
  float largest = -draw::infinity();
  bool nan = false;
  row.visit([&](int64_t, auto bits) {
    const float x = to_float(bits);
    nan |= draw::is_nan(x);
    largest = platform::max_number(largest, x);
  });
  *status = platform::block_any(nan) ? uint32_t{draw::kNanLogit} : 0u;
  s.max = draw::add_rn(BlockOf::max(largest), 0.0f);
  s.empty = s.max == -draw::infinity();
  if (s.empty) {
    *status |= draw::kNoCandidate;
  } else if (s.greedy) {
    float first = -draw::infinity();  // minus the smallest id, which a float holds
    row.visit([&](int64_t id, auto bits) {
      if (to_float(bits) == s.max) first = platform::max_number(first, -static_cast<float>(id));
    });
    s.best = static_cast<int32_t>(-BlockOf::max(first));
  } else {
    uint64_t mass = 0;
    row.visit([&](int64_t, auto bits) { mass += weight_in(s, to_float(bits)); });
    s.set_total(BlockOf::sum(mass));
  }
  return s;
}

template <request::Dtype kDtype, request::Dtype kOut, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    softmax_rows(const TOKENDRAW_GRID_CONSTANT request::Operation operation) {
  using BlockOf = Block<kOperationThreads, kWave>;
  using Bits = typename Stored<kDtype>::Bits;
  using OutBits = typename Stored<kOut>::Bits;
  const int64_t row = platform::block_x();
  const request::Softmax& o = operation.softmax;
  const StoredRow<kOperationThreads, Bits> in = {reinterpret_cast<const Bits*>(request::row_of(operation.input, row)),
                                                 operation.columns};
  auto* out = reinterpret_cast<OutBits*>(request::row_of(operation.output, row));
  const auto to_float = [](Bits bits) { return LogitBits<kDtype>::to_float(bits); };
  uint32_t status = 0;
  const draw::SoftmaxRow s = find_softmax_row<BlockOf>(in, o.temperature.at(row), to_float, &status);
  if (operation.row_status != nullptr && platform::thread_index() == 0) operation.row_status[row] = status;
  const bool log = o.log;
  // In place no thread may write before all have read.
  platform::block_barrier();
  if (s.empty || s.greedy) {
    const OutBits nothing = bits_of_value<kOut>(log ? -static_cast<double>(draw::infinity()) : 0.0);
    const OutBits all = bits_of_value<kOut>(log ? 0.0 : 1.0);
    const int64_t best = s.empty ? -1 : s.best;
    in.map(out, [=](int64_t id, Bits) { return id == best ? all : nothing; });
  } else if (log) {
    in.map(out, [&](int64_t, Bits bits) {
      bool nan = false;
      return bits_of_value<kOut>(s.log_probability(draw::nan_to_minus_infinity(to_float(bits), nan)));
    });
  } else {
    in.map(out, [&](int64_t, Bits bits) { return bits_of_value<kOut>(s.probability(weight_in(s, to_float(bits)))); });
  }
}

template <request::Dtype kDtype, int kWave>
OperationKernel softmax_kernel_of(request::Dtype output_dtype) {
  if (output_dtype == request::Dtype::kF32) return softmax_rows<kDtype, request::Dtype::kF32, kWave>;
  if (output_dtype == request::Dtype::kF16) return softmax_rows<kDtype, request::Dtype::kF16, kWave>;
  return softmax_rows<kDtype, request::Dtype::kBf16, kWave>;
}

}  // namespace tokendraw::gpu
