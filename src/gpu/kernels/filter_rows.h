// SPDX-License-Identifier: Apache-2.0
// Filters as operations: of rows that a cluster holds in shared memory, which are read from memory once, and of any
// rows by a block each.
#pragma once

#include "gpu/kernels/filter_list.h"
#include "gpu/kernels/write_part.h"
#include "gpu/operation_kernels.h"

namespace tokendraw::gpu {

// Writes the block's part of the row.
template <request::Dtype kDtype, typename Part>
TOKENDRAW_DEVICE void write_filtered(const request::Operation& operation, int64_t row, const Part& part,
                                     const typename Part::Weights& weights, const request::FilterCut& cut, bool empty,
                                     bool greedy) {
  const bool mask = operation.filter.mask;
  const FilterTest test(cut.cut);
  const double inverse = empty ? 0.0 : draw::div_rn(1.0, static_cast<double>(cut.mass));
  const uint32_t nothing = draw::float_bits(mask && !Part::kOfProbabilities ? -draw::infinity() : 0.0f);
  write_part<kDtype, request::Dtype::kF32, Part::kIsResident>(
      part.source, part.block.first, part.own, [&](int32_t line) { return part.words(line); },
      reinterpret_cast<uint32_t*>(request::row_of(operation.output, row)),
      [&](int32_t id, const auto& x, auto& made) {
        constexpr int kCount = static_cast<int>(sizeof(x) / sizeof(x[0]));
        bool any = false;
        float clean[kCount];
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          bool bad = false;
          clean[i] = Part::kOfProbabilities ? draw::clean_probability(x[i], bad) : draw::add_rn(x[i], 0.0f);
          any = any || test.keeps(id + i, clean[i]);
          made[i] = nothing;
        }
        if (empty || !any) return;
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          if (!test.keeps(id + i, clean[i])) continue;
          made[i] = draw::float_bits(mask     ? clean[i]
                                     : greedy ? 1.0f
                                              : static_cast<float>(draw::mul_rn(weights.as_double(clean[i]), inverse)));
        }
      });
}

template <request::Dtype kDtype, bool kProbabilities, int kWave, bool kResident>
TOKENDRAW_DEVICE void filter_row(const request::Operation& operation, int64_t row, const ResidentShape& shape) {
  using Part = FilterPart<kDtype, kProbabilities, kWave, kResident>;
  auto& s = Part::shared();
  const request::Filter& f = operation.filter;
  if constexpr (kResident) {
    Part::Team::prepare();
    platform::cluster_arrive();
  }
  Part part(operation, row, shape);
  platform::wait_for_earlier_kernels();
  platform::let_next_kernel_begin();
  part.begin_read();
  if (platform::thread_index() == 0) s.valid = request::read_filter_params(operation, row, &s.rule) ? 1 : 0;
  part.finish_read();
  bool bad = false;
  const float largest_of_lane = part.largest_of_lane(&bad);
  bad = platform::block_any(bad);
  if constexpr (kResident) platform::cluster_wait();  // all blocks have begun
  const float max = tell_maxima<Part>(largest_of_lane, &bad);
  const bool valid = s.valid != 0;
  if (valid && platform::thread_index() == 0) request::set_filter_max(f, row, max, &s.rule);
  platform::block_barrier();
  const bool empty = !valid || s.rule.nothing;
  const bool greedy = !empty && s.rule.params.greedy;
  const typename Part::Weights weights = {max, valid ? s.rule.params.scale : 0.0f, s.rule.probability};
  uint32_t status = draw::kBadParameter;
  if (valid) {
    status = (bad ? uint32_t{kProbabilities ? draw::kBadProbability : draw::kNanLogit} : 0u) |
             (empty ? uint32_t{draw::kNoCandidate} : 0u);
  }
  request::FilterCut cut;
  int32_t token = -1;
  if (greedy) {
    const auto is_best = [=](int32_t, float x) { return uint64_t{x == max ? 1u : 0u}; };
    uint64_t own = 0;
    part.visit_vectors([&](int32_t id, const float(&x)[Part::kWidth]) {
#pragma unroll
      for (int i = 0; i < Part::kWidth; ++i) own += is_best(id + i, x[i]);
    });
    token = find_in_order(
                part, own, [](uint64_t) { return uint64_t{0}; }, is_best)
                .id;
    cut = {request::filter_key(max, token), 1, draw::kWeightOne};
  } else if (!empty) {
    const FilterAsked asked = asked_of(s.rule.params, static_cast<int32_t>(operation.columns));
    const uint64_t cut_m = key_of_min_p<Part>(weights, s.rule.min_weight);
    if (!filter_by_list(operation, row, part, weights, asked, cut_m, &cut, &token)) {
      cut.cut = search_cut(part, weights, asked, cut_m);
      token = finish_filter(operation, row, part, weights, &cut);
    }
  }
  if (platform::thread_index() == 0 && (!kResident || platform::cluster_rank() == 0)) {
    request::write_filter_row(operation, row, status, cut, token);
  }
  if (operation.output.data == nullptr) return;
  platform::block_barrier();  // in place no thread may write before all have read
  write_filtered<kDtype>(operation, row, part, weights, cut, empty, greedy);
}

template <request::Dtype kDtype, bool kProbabilities, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    filter_rows(const TOKENDRAW_GRID_CONSTANT request::Operation operation) {
  filter_row<kDtype, kProbabilities, kWave, false>(operation, platform::block_x(), {});
}

template <request::Dtype kDtype, bool kProbabilities, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    filter_resident(const TOKENDRAW_GRID_CONSTANT request::Operation operation,
                    const TOKENDRAW_GRID_CONSTANT ResidentShape shape) {
  if constexpr (platform::kHasClusters) {
    filter_row<kDtype, kProbabilities, kWave, true>(operation, platform::block_x() >> shape.cluster_shift, shape);
  }
}

}  // namespace tokendraw::gpu
