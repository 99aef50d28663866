// SPDX-License-Identifier: Apache-2.0
// The way back from a running sum over a row to the id at which it passes a target.
#pragma once

#include "gpu/kernels/row_passes.h"

namespace tokendraw::gpu {

struct Found {
  int32_t id;  // -1: none
  float x;
  uint64_t margin = 0;  // a target that is off by no more than this has the same id, where that is known
};

// From two numbers, which is how threads tell each other.
TOKENDRAW_DEVICE uint64_t pack_found(int32_t id, float x) {
  return static_cast<uint64_t>(draw::float_bits(x)) << 32 | static_cast<uint32_t>(id);
}
TOKENDRAW_DEVICE Found unpack_found(uint64_t packed, uint64_t margin) {
  return {static_cast<int32_t>(static_cast<uint32_t>(packed)), draw::bits_float(static_cast<uint32_t>(packed >> 32)),
          margin};
}

// By how much a target in [before, before + own) may be off.
TOKENDRAW_DEVICE uint64_t margin_of(uint64_t target, uint64_t before, uint64_t own) {
  const uint64_t above = target - before;
  const uint64_t below = own - 1 - above;
  return above < below ? above : below;
}

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
    const auto found = Row::BlockOf::broadcast(mine, pack_found(id, x), margin_of(target, sums.first, own));
    return unpack_found(found.first, found.second);
  }
  return {-1, -draw::infinity()};  // not reached, unless sums are estimates: the group's sum exceeds the target
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
    const auto told = Row::Team::broadcast(teller, pack_found(found.id, found.x), found.margin);
    found = unpack_found(told.first, told.second);
  }
  return {found, sums.second};
}

}  // namespace tokendraw::gpu
