// SPDX-License-Identifier: Apache-2.0
// Filters as operations: of rows that a cluster holds in shared memory, which are read from memory once, and of any
// rows by a block each.
#pragma once

#include "gpu/kernels/filter_search.h"
#include "gpu/kernels/write_part.h"
#include "gpu/operation_kernels.h"

namespace tokendraw::gpu {

// The key of the lightest element that min_p keeps; 0: it is off.
template <typename Part>
TOKENDRAW_DEVICE uint64_t key_of_min_p(const typename Part::Weights& weights, uint64_t min_weight) {
  if (min_weight == 0) return 0;
  return static_cast<uint64_t>(draw::ordered_bits(smallest_element<Part>(weights, min_weight))) << 21;
}

// Lists all elements down to one that is known to have k at or above it: the lanes' largest elements say one. False if
// the list has no room for them.
template <typename Part>
TOKENDRAW_DEVICE bool list_top_k(const Part& part, const typename Part::Weights& weights, float largest_of_lane,
                                 uint64_t k, FilterListed* listed) {
  const FilterIntervals intervals = {true, 0, 0, 0};
  clear_sums<Part>();
  if (intervals.has(largest_of_lane)) add_to_sums<Part>(intervals.number(weights, largest_of_lane), 1);
  add_up_sums<Part>();
  const FilterBucket bucket = find_filter_bucket<Part>(k);
  if (!bucket.exists || bucket.number == kFilterBuckets - 1) return false;
  *listed = list_intervals(part, weights, intervals, 0, bucket.number);
  return listed->all <= kFilterList;
}

// What the top_p of a row is a share of: the mass from a key on.
TOKENDRAW_DEVICE uint64_t base_key(const draw::RowParams& params, uint64_t cut_k, uint64_t cut_m) {
  if (params.base == draw::TopPBase::kAll) return 0;
  return params.base == draw::TopPBase::kAfterAll && cut_m > cut_k ? cut_m : cut_k;
}

// The cut of all filters from a list of the row's largest elements, k of them at least.
template <typename Part>
TOKENDRAW_DEVICE uint64_t cut_in_list(const Part& part, const typename Part::Weights& weights,
                                      const FilterListed& listed, uint64_t cut_m) {
  const draw::RowParams& params = Part::shared().rule.params;
  const auto k = static_cast<uint32_t>(params.top_k);
  const uint64_t base_from = base_key(params, 0, cut_m);
  uint64_t own_key = 0;
  uint64_t own_base = 0;
  rank_own<Part>(listed, [&](uint64_t key, uint64_t weight, uint32_t rank, uint64_t) {
    own_key = rank == k - 1 ? key : own_key;
    own_base += rank < k && key >= base_from ? weight : 0;
  });
  const auto sums = team_sums<Part>(own_key, own_base);
  uint64_t cut = sums.first > cut_m ? sums.first : cut_m;
  if (!params.top_p_on) return cut;
  uint64_t base = sums.second;
  if (params.base == draw::TopPBase::kAll) {
    base = Part::Team::sum(sum_kept(part, weights, 0, draw::infinity()).mass);
  }
  const uint64_t need = draw::top_p_need(base, params.top_p);
  own_key = 0;
  rank_own<Part>(listed, [&](uint64_t key, uint64_t weight, uint32_t, uint64_t before) {
    own_key = before < need && need - before <= weight ? key : own_key;
  });
  const uint64_t cut_p = Part::Team::sum(own_key);
  return cut_p > cut ? cut_p : cut;
}

// The key from which on a row is kept. The row is not greedy.
template <typename Part>
TOKENDRAW_DEVICE uint64_t find_cut_of_filters(const Part& part, const typename Part::Weights& weights,
                                              float largest_of_lane, int32_t vocab) {
  const request::FilterRule& rule = Part::shared().rule;
  const draw::RowParams& params = rule.params;
  const uint64_t cut_m = key_of_min_p<Part>(weights, rule.min_weight);
  uint64_t cut_k = 0;
  if (params.top_k < vocab) {
    const auto k = static_cast<uint64_t>(params.top_k);
    FilterListed listed;
    if (k <= kFilterList / 2 && list_top_k(part, weights, largest_of_lane, k, &listed)) {
      return cut_in_list(part, weights, listed, cut_m);
    }
    cut_k = find_filter_key(part, weights, FilterMeasure::kCount, [k](uint64_t) { return k; });
  }
  const uint64_t cut = cut_k > cut_m ? cut_k : cut_m;
  if (!params.top_p_on) return cut;
  const uint64_t from = base_key(params, cut_k, cut_m);
  const uint64_t base = from == 0 ? 0 : Part::Team::sum(sum_kept(part, weights, from, draw::infinity()).mass);
  const uint64_t cut_p = find_filter_key(part, weights, FilterMeasure::kMass, [&](uint64_t total) {
    return draw::top_p_need(from == 0 ? total : base, params.top_p);
  });
  return cut_p > cut ? cut_p : cut;
}

// Kept count and mass, and the token.
template <typename Part>
TOKENDRAW_DEVICE int32_t finish_filter(const request::Operation& operation, int64_t row, const Part& part,
                                       const typename Part::Weights& weights, request::FilterCut* cut) {
  const request::Filter& f = operation.filter;
  const float least = f.kept != nullptr ? smallest_element<Part>(weights, 1) : draw::infinity();
  const FilterKept kept = sum_kept(part, weights, cut->cut, least);
  int32_t token = -1;
  if (f.tokens != nullptr) {
    const FilterTest test(cut->cut);
    const FoundElement found = find_in_order(
        part, kept.mass, [&](uint64_t mass) { return draw::draw_target(request::filter_random(f, row), mass); },
        [&](int32_t id, float x) { return test.keeps(id, x) ? weights.weight(x) : 0; });
    token = found.id;
    cut->mass = found.total;
    if (f.kept != nullptr) cut->kept = static_cast<int64_t>(Part::Team::sum(kept.count));
  } else {
    const auto sums = team_sums<Part>(kept.mass, kept.count);
    cut->mass = sums.first;
    cut->kept = static_cast<int64_t>(sums.second);
  }
  return token;
}

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
  const Part part(operation, row, shape);
  platform::wait_for_earlier_kernels();
  platform::let_next_kernel_begin();
  part.begin_read();
  if (platform::thread_index() == 0) s.valid = request::read_filter_params(operation, row, &s.rule) ? 1 : 0;
  part.finish_read();
  bool bad = false;
  const float largest_of_lane = part.largest_of_lane(&bad);
  platform::block_barrier();
  if constexpr (kResident) platform::cluster_wait();  // all blocks have begun
  const bool valid = s.valid != 0;
  const float max = draw::add_rn(Part::Team::max(largest_of_lane), 0.0f);
  if constexpr (kResident) {
    bad = Part::Team::sum(bad ? 1 : 0) != 0;
  } else {
    bad = platform::block_any(bad);
  }
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
    cut.cut = find_cut_of_filters(part, weights, largest_of_lane, static_cast<int32_t>(operation.columns));
    token = finish_filter(operation, row, part, weights, &cut);
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
