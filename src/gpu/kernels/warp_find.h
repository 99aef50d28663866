// SPDX-License-Identifier: Apache-2.0
// Sums over a warp's own groups of a row in shared memory, and the way back from a running sum to the id: by one warp
// alone, which meets no other.
#pragma once

#include "gpu/kernels/find_in_row.h"
#include "gpu/kernels/resident_maxima.h"

namespace tokendraw::gpu {

// Which logits of a row that a cluster holds count: all of them, or those from one on.
struct AllLogits {
  TOKENDRAW_DEVICE bool counts(float) const { return true; }
};
struct LogitsFrom {
  float low;
  TOKENDRAW_DEVICE bool counts(float x) const { return x >= low; }
};

// The mass of what counts in a warp's groups, each into shared memory. The rule is finite.
template <typename Row, typename Which>
TOKENDRAW_DEVICE uint64_t warp_masses(const WeightRule& rule, const Which& which, GroupRange range) {
  constexpr int kWave = Row::kWave;
  constexpr int kAtOnce = 16 / Row::Reader::kWidth;  // a weight is a chain of 22 dependent steps
  auto& s = Row::shared();
  const typename Row::Reader reader = s.reader;
  const int32_t group_lines = s.settings.group_lines;
  const auto lane = static_cast<int32_t>(lane_index<kWave>());
  uint64_t mass = 0;
  for (int32_t group = range.first; group < range.last; group += kAtOnce) {
    ThreadMass<kWave> sum[kAtOnce];
    for (int32_t i = 0; i < group_lines; ++i) {
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        // Lines past the end are those of groups past the range, which are left out below, or weigh nothing.
        const int32_t line = (group + j) * group_lines + i;
        const bool exists = line < reader.lines();
        float x[Row::Reader::kWidth];
        bool nan = false;
        reader.convert(reader.fetch_inside(exists ? line : 0), line, x, nan);
#pragma unroll
        for (int e = 0; e < Row::Reader::kWidth; ++e) {
          sum[j].add(exists && which.counts(x[e]) ? rule.exponent(x[e]) : kNoWeight);
        }
      }
    }
    uint64_t of_lane = 0;  // lane j has what group + j weighs
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const uint64_t total = warp_sum_of_52_bits<kWave>(sum[j].value());
      of_lane = lane == j ? total : of_lane;
      mass += group + j < range.last ? total : 0;
    }
    if (lane < kAtOnce && group + lane < range.last) s.group_mass[group + lane] = of_lane;
  }
  return mass;
}

// The mass of the block, from those of its warps; all warps have theirs.
template <typename Row>
TOKENDRAW_DEVICE uint64_t mass_of_block() {
  uint64_t mass = 0;
#pragma unroll
  for (int w = 0; w < Row::kWarps; ++w) mass += Row::shared().warp_mass[w];
  return mass;
}

// The first id of some lines at which the running sum of measure_of(x) exceeds `target`; that of all of them does.
template <typename Row, typename MeasureOf>
TOKENDRAW_DEVICE Found warp_find_in_lines(int32_t first, int32_t last, uint64_t target, const MeasureOf& measure_of) {
  constexpr int kWave = Row::kWave;
  constexpr int kWidth = Row::Reader::kWidth;
  const typename Row::Reader reader = Row::shared().reader;
  for (int32_t line = first; line < last; ++line) {
    float x[kWidth];
    bool nan = false;
    reader.convert(reader.fetch_inside(line), line, x, nan);
    uint64_t own = 0;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) own += measure_of(x[i]);
    const uint64_t reached = warp_inclusive_sum<kWave>(own);
    const uint64_t beyond = platform::warp_ballot<kWave>(reached > target);
    if (beyond == 0) {
      target -= platform::warp_shuffle<kWave>(reached, static_cast<uint32_t>(kWave - 1));
      continue;
    }
    const auto lane = static_cast<uint32_t>(platform::first_bit(beyond));
    uint64_t running = reached - own;
    int place = 0;
    float at = x[0];
    bool passed = false;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      running += measure_of(x[i]);
      if (!passed && running > target) {
        passed = true;
        place = i;
        at = x[i];
      }
    }
    const auto id = static_cast<uint32_t>(reader.first_id(line) + place);
    return {static_cast<int32_t>(platform::warp_shuffle<kWave>(id, lane)),
            draw::add_rn(platform::warp_shuffle<kWave>(at, lane), 0.0f)};
  }
  return {-1, -draw::infinity()};  // not reached: the lines' sum exceeds the target
}

// The same in a warp's groups, whose masses are known: at most a group for each lane.
template <typename Row, typename MeasureOf>
TOKENDRAW_DEVICE Found warp_find_by_mass(GroupRange range, uint64_t target, const MeasureOf& measure_of) {
  constexpr int kWave = Row::kWave;
  const auto& s = Row::shared();
  const int32_t group = range.first + static_cast<int32_t>(lane_index<kWave>());
  const uint64_t own = group < range.last ? s.group_mass[group] : 0;
  const uint64_t reached = warp_inclusive_sum<kWave>(own);
  const uint64_t beyond = platform::warp_ballot<kWave>(reached > target);
  if (beyond == 0) return {-1, -draw::infinity()};  // not reached
  const auto lane = static_cast<uint32_t>(platform::first_bit(beyond));
  const uint64_t before = platform::warp_shuffle<kWave>(reached - own, lane);
  const int32_t first = (range.first + static_cast<int32_t>(lane)) * s.settings.group_lines;
  const int32_t last = first + s.settings.group_lines;
  const int32_t lines = s.reader.lines();
  return warp_find_in_lines<Row>(first, last < lines ? last : lines, target - before, measure_of);
}

}  // namespace tokendraw::gpu
