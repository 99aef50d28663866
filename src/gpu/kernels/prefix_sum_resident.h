// SPDX-License-Identifier: Apache-2.0
// Prefix sums of rows of probabilities that the blocks of a cluster hold in shared memory, so that memory is read once.
// Each warp sums its stretch of the row, the cluster the warps', and then each goes along its stretch.
#pragma once

#include "gpu/kernels/filter_part.h"
#include "gpu/operation_kernels.h"

namespace tokendraw::gpu {

template <int kWave>
TOKENDRAW_DEVICE void sum_on_chip(const request::Operation& operation, const ResidentShape& shape) {
  using Part = FilterPart<request::Dtype::kF32, true, kWave, true>;
  constexpr int kWidth = Part::kWidth;
  using Elements = Packet<uint32_t, kWidth>;
  const int64_t row = platform::block_x() >> shape.cluster_shift;
  Part::Team::prepare();
  platform::cluster_arrive();
  const Part part(operation, row, shape);
  platform::wait_for_earlier_kernels();
  platform::let_next_kernel_begin();
  part.begin_read();
  part.finish_read();
  bool bad = false;
  const float largest = part.largest_of_lane(&bad);
  bad = platform::block_any(bad);
  platform::cluster_wait();  // all blocks have begun
  const draw::ProbabilityRule rule = draw::make_probability_rule(Part::Team::max(largest));
  const auto weigh = [&](float x) { return x > 0.0f ? rule.weight(x) : 0; };
  uint64_t own = 0;
  part.visit_vectors([&](int32_t, const float(&x)[kWidth]) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) own += weigh(x[i]);
  });
  const uint64_t of_warp = warp_sum<kWave>(own);
  const auto sums = Part::Team::exclusive_sum(lane_index<kWave>() == 0 ? of_warp : 0);
  if (operation.row_status != nullptr) {
    const bool row_bad = Part::Team::sum(bad ? 1 : 0) != 0;
    if (platform::cluster_rank() == 0 && platform::thread_index() == 0) {
      operation.row_status[row] = row_bad ? uint32_t{draw::kBadProbability} : 0u;
    }
  }
  uint64_t before = platform::warp_shuffle<kWave>(sums.first, 0u);
  auto* out = reinterpret_cast<uint32_t*>(request::row_of(operation.output, row));
  const bool exclusive = operation.prefix_sum.exclusive;
  part.visit_vectors([&](int32_t id, const float(&x)[kWidth]) {
    uint64_t weights[kWidth];
    uint64_t of_lane = 0;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      weights[i] = weigh(x[i]);
      of_lane += weights[i];
    }
    const uint64_t up_to = warp_inclusive_sum<kWave>(of_lane);
    uint64_t running = before + up_to - of_lane;
    before += platform::warp_shuffle<kWave>(up_to, static_cast<uint32_t>(kWave - 1));
    Elements made;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      made.element[i] = draw::float_bits(rule.sum(exclusive ? running : running + weights[i]));
      running += weights[i];
    }
    const bool whole = part.source.in_row(id) && part.source.in_row(id + kWidth - 1);
    if (whole && reinterpret_cast<uintptr_t>(out + id) % 16 == 0) {
      *reinterpret_cast<Elements*>(out + id) = made;
      return;
    }
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (part.source.in_row(id + i)) out[id + i] = made.element[i];
    }
  });
}

template <int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    sum_resident(const TOKENDRAW_GRID_CONSTANT request::Operation operation,
                 const TOKENDRAW_GRID_CONSTANT ResidentShape shape) {
  if constexpr (platform::kHasClusters) sum_on_chip<kWave>(operation, shape);
}

}  // namespace tokendraw::gpu
