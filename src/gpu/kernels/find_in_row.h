// SPDX-License-Identifier: Apache-2.0
// The way back from a running sum over a row to the id at which it passes a target.
#pragma once

#include "gpu/kernels/row_passes.h"

namespace tokendraw::gpu {

struct Found {
  int32_t id;
  float x;
};

// The first id, in a group, at which the running sum of measure_of(id, x) exceeds `target`; the group's sum does.
template <typename Row, typename MeasureOf>
TOKENDRAW_DEVICE Found find_in_group(int32_t group, uint64_t target, const MeasureOf& measure_of) {
  const typename Row::Reader reader = Row::shared().reader;
  const int32_t length = Row::shared().settings.group_lines * Row::Reader::kLine;
  for (int32_t place = group * length; place < (group + 1) * length; place += Row::kThreads) {
    const auto own_place = place + static_cast<int32_t>(platform::thread_index());
    const int32_t id = reader.id_at(own_place);
    const bool inside = own_place < (group + 1) * length && reader.in_row(id);
    const float x = inside ? reader.load_one(id) : -draw::infinity();
    const uint64_t own = inside ? measure_of(id, x) : 0;
    const auto sums = Row::BlockOf::exclusive_sum(own);
    if (sums.second <= target) {
      target -= sums.second;
      continue;
    }
    const bool mine = sums.first <= target && target - sums.first < own;
    const auto found = Row::BlockOf::broadcast(mine, static_cast<uint32_t>(id), draw::float_bits(x));
    return {static_cast<int32_t>(found.first), draw::bits_float(static_cast<uint32_t>(found.second))};
  }
  return {-1, -draw::infinity()};  // not reached: the group's sum exceeds the target
}

struct FoundInRow {
  Found found;
  uint64_t total;  // measure of the row
};

// The first id at which the running sum of measure_of(id, x) over the row exceeds target_of(total). `own` is the
// measure of the group with this thread's number. The block that has it tells the others of the row's team.
template <typename Row, typename TargetOf, typename MeasureOf>
TOKENDRAW_DEVICE FoundInRow find_in_row(uint64_t own, const TargetOf& target_of, const MeasureOf& measure_of) {
  const auto sums = Row::Team::exclusive_sum(own);
  const uint64_t target = target_of(sums.second);
  const bool mine = sums.first <= target && target - sums.first < own;
  bool here = true;
  if constexpr (Row::Team::kIsCluster) here = platform::block_any(mine);
  Found found = {-1, -draw::infinity()};
  if (here) {
    const auto place = Row::BlockOf::broadcast(mine, platform::thread_index(), sums.first);
    found = find_in_group<Row>(static_cast<int32_t>(place.first), target - place.second, measure_of);
  }
  if constexpr (Row::Team::kIsCluster) {
    const bool teller = here && platform::thread_index() == 0;
    const auto told = Row::Team::broadcast(teller, static_cast<uint32_t>(found.id), draw::float_bits(found.x));
    found = {static_cast<int32_t>(told.first), draw::bits_float(static_cast<uint32_t>(told.second))};
  }
  return {found, sums.second};
}

}  // namespace tokendraw::gpu
