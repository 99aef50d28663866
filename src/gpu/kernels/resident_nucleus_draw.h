// SPDX-License-Identifier: Apache-2.0
// The token of a row that a cluster holds by top_p alone: from what all blocks know of the range of logits with the cut
// (resident_nucleus.h) each finds the same cut, what each of them keeps, and so which one has the token and writes it.
#pragma once

#include "gpu/kernels/resident_nucleus.h"
#include "gpu/kernels/row_request.h"
#include "gpu/kernels/top_p_search.h"

namespace tokendraw::gpu {

// What the blocks found beside a range, added up.
struct RangeSums {
  uint64_t above;        // mass above the range
  uint32_t above_count;  // and how many logits
  uint32_t inside;       // logits in the range,
  uint32_t largest;      // as ordered bits,
  uint32_t least;
  bool listed;  // and whether all of them are in the list
};

template <typename Row>
TOKENDRAW_DEVICE RangeSums add_up_parts(const RowParts& a) {
  constexpr int kWave = Row::kWave;
  const uint32_t lane = lane_index<kWave>();
  const RangePart part = lane < platform::cluster_blocks() ? Row::shared().range.parts[lane] : RangePart{};
  return {warp_sum<kWave>(part.above),
          platform::warp_add<kWave>(part.above_count),
          platform::warp_add<kWave>(part.listed),
          platform::warp_largest<kWave>(part.largest),
          ~platform::warp_largest<kWave>(part.least),
          platform::warp_ballot<kWave>(part.listed > 1u << room_shift<Row>(a)) == 0};
}

// The smallest key that is kept, and what follows from it.
struct NucleusCut {
  float x;
  int32_t id;       // of a group whose ties are kept in part: see find_kept
  bool ties;        // the range holds equal logits; s.range.inside says how many of each group are kept
  uint64_t mass;    // of all that is kept
  uint32_t count;   // how many that are
  uint64_t before;  // what the blocks before this one keep weighs,
  uint64_t own;     // and what this one keeps
};

inline constexpr uint32_t kKeptInPart = 1u << 31;  // of s.range.inside: not all of the group's ties are kept

// The token in the block that has it: at `target` of what it keeps, which its group masses are.
template <typename Row>
TOKENDRAW_DEVICE Found find_kept(const WeightRule& rule, const NucleusCut& cut, uint64_t target) {
  auto& s = Row::shared();
  const uint64_t own = Row::mass_of_own_group();
  const auto sums = Row::BlockOf::exclusive_sum(own);
  const bool mine = sums.first <= target && target - sums.first < own;
  const auto place = Row::BlockOf::broadcast(mine, platform::thread_index(), sums.first);
  const auto group = static_cast<int32_t>(place.first);
  const float cut_x = cut.x;
  int32_t cut_id = cut.id;
  if (cut.ties && (s.range.inside[group] & kKeptInPart) != 0) {
    const uint32_t kept = s.range.inside[group] & ~kKeptInPart;
    cut_id = -1;
    if (kept > 0) {
      cut_id = find_in_group<Row>(group, kept - 1, [cut_x](int32_t, float y) { return y == cut_x ? 1 : 0; }).id;
    }
  }
  return find_in_group<Row>(group, target - place.second, [rule, cut_x, cut_id](int32_t id, float y) {
    return y > cut_x || (y == cut_x && id <= cut_id) ? rule.finite_weight(y) : 0;
  });
}

// The cut in a range of equal logits, by how many of them are wanted. False if that is more than there are.
template <typename Row>
TOKENDRAW_DEVICE bool cut_ties(const WeightRule& rule, const RangeSums& sums, uint64_t goal, NucleusCut* cut) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t rank = platform::cluster_rank();
  const float x = draw::add_rn(draw::from_ordered_bits(sums.largest), 0.0f);
  const uint64_t weight = rule.finite_weight(x);
  if (weight == 0) return false;
  const uint64_t wanted = (goal + weight - 1) / weight;
  if (wanted > sums.inside) return false;
  const RangePart part = lane < platform::cluster_blocks() ? s.range.parts[lane] : RangePart{};
  const uint64_t ties_up_to = warp_inclusive_sum<kWave>(part.listed);
  const uint64_t kept = kept_ties(wanted, ties_up_to - part.listed, part.listed);
  const uint64_t mass = part.above + kept * weight;
  const uint64_t mass_up_to = warp_inclusive_sum<kWave>(mass);
  *cut = {x,
          0x7fffffff,
          true,
          platform::warp_shuffle<kWave>(mass_up_to, static_cast<uint32_t>(kWave - 1)),
          sums.above_count + static_cast<uint32_t>(wanted),
          platform::warp_shuffle<kWave>(mass_up_to - mass, rank),
          platform::warp_shuffle<kWave>(mass, rank)};
  // Of this block by group
  const uint64_t kept_here = platform::warp_shuffle<kWave>(kept, rank);
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const uint32_t ties = thread < Row::groups() ? s.range.inside[thread] : 0;
  const uint64_t ties_before = Row::BlockOf::exclusive_sum(ties).first;
  if (ties > 0) {
    const auto of_group = static_cast<uint32_t>(kept_ties(kept_here, ties_before, ties));
    s.range.inside[thread] = of_group < ties ? of_group | kKeptInPart : of_group;
    s.group_mass[thread] += of_group * weight;
  }
  return true;
}

// The most keys that are compared all with all.
template <typename Row>
inline constexpr uint32_t kMostCompared = Row::kThreads;

// The list's keys, of each block in its part, side by side: n of them, at most kMostCompared, and behind that many what
// they weigh. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE void gather_parts(const RowParts& a, const WeightRule& rule) {
  constexpr int kWave = Row::kWave;
  constexpr uint32_t kEach = Row::kListCapacity / Row::kThreads;
  auto& s = Row::shared();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t thread = platform::thread_index();
  const int32_t shift = room_shift<Row>(a);
  const uint32_t listed = lane < platform::cluster_blocks() ? s.range.parts[lane].listed : 0;
  const auto before = static_cast<uint32_t>(warp_inclusive_sum<kWave>(listed) - listed);
  uint64_t keys[kEach];
  uint32_t places[kEach];
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t slot = i * Row::kThreads + thread;
    const uint32_t block = slot >> shift;
    const uint32_t of_block = slot - (block << shift);
    const bool used = of_block < platform::warp_shuffle<kWave>(listed, block);
    places[i] = platform::warp_shuffle<kWave>(before, block) + of_block;
    keys[i] = used ? s.keys[slot] : 0;
  }
  platform::block_barrier();
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (keys[i] == 0) continue;
    s.keys[places[i]] = keys[i];
    s.keys[kMostCompared<Row> + places[i]] = rule.finite_weight(draw::rank_key_logit(keys[i]));
  }
  platform::block_barrier();
}

// The cut among the listed keys, each of which is compared with all others: by two threads where there are so many.
// False if all of them weigh less than `goal`. Ends with a barrier if not.
template <typename Row>
TOKENDRAW_DEVICE bool cut_listed(const RowParts& a, const WeightRule& rule, const RangeSums& sums, uint64_t goal,
                                 NucleusCut* cut) {
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t n = sums.inside;
  platform::block_barrier();
  gather_parts<Row>(a, rule);
  const uint64_t* weights = s.keys + kMostCompared<Row>;
  const uint32_t shift = 2 * n <= Row::kThreads ? 1 : 0;
  const uint32_t own = thread >> shift;
  const uint32_t part = thread & shift;
  const uint64_t key = own < n ? s.keys[own] : 0;
  const uint64_t weight = own < n ? weights[own] : 0;
  uint64_t before = 0;
#pragma unroll 4
  for (uint32_t j = part; j < n; j += 1 + shift) before += s.keys[j] > key ? weights[j] : 0;
  const uint64_t of_other = platform::warp_shuffle_xor<Row::kWave>(before, 1u);
  before += shift > 0 ? of_other : 0;
  const bool last = before < goal && goal - before <= weight;
  if (!platform::block_any(last)) return false;
  const auto found = Row::BlockOf::broadcast(last && part == 0, key, before + weight);
  const bool kept = part == 0 && own < n && key >= found.first;
  const auto id = static_cast<int32_t>(draw::rank_key_id(key));
  const bool here = kept && s.reader.has_place(s.reader.place_of(id));
  const bool earlier = kept && !here && id < s.reader.id_at(0);
  const auto masses = Row::BlockOf::sum_both(earlier ? weight : 0, here ? weight : 0);
  const uint32_t count = platform::block_count(kept);
  if (here) add_to_group<Row>(key);
  platform::block_barrier();  // the groups' masses are known to all

  constexpr int kWave = Row::kWave;
  const uint32_t lane = lane_index<kWave>();
  const uint32_t rank = platform::cluster_rank();
  const uint64_t above = lane < platform::cluster_blocks() ? s.range.parts[lane].above : 0;
  const uint64_t above_before = warp_inclusive_sum<kWave>(above) - above;
  *cut = {draw::rank_key_logit(found.first),
          static_cast<int32_t>(draw::rank_key_id(found.first)),
          false,
          sums.above + found.second,
          sums.above_count + count,
          platform::warp_shuffle<kWave>(above_before, rank) + masses.first,
          platform::warp_shuffle<kWave>(above, rank) + masses.second};
  return true;
}

// Finds the cut in all blocks alike; thread 0 knows the row's mass then. False if the rough sums have led astray, or
// too many logits that are not equal lie close together.
template <typename Row>
TOKENDRAW_DEVICE bool find_nucleus(const RowParts& a, const WeightRule& rule, const ToldMaxima& maxima,
                                   NucleusCut* cut) {
  auto& s = Row::shared();
  RoughBuckets buckets(rule, 0.0f, exponent_below_cut<Row>(rule, maxima));
  uint64_t above = 0;  // mass of what lies above all buckets
#pragma unroll 1
  for (int round = 0; round < kNucleusRounds; ++round) {
    NucleusInboxes* inboxes = &s.cluster.nucleus[round];
    const uint64_t total = fill_rough_histogram<Row>(a, buckets, inboxes);
    if (platform::thread_index() == 0) s.total = total;
    const uint64_t need = draw::top_p_need(total, s.inputs.params.top_p);
    const int32_t bucket = find_rough_bucket<Row>(a, buckets, need - above, inboxes);
    if (bucket < 0) return false;
    const LogitRange range = buckets.range_of(static_cast<uint32_t>(bucket));
    if (!(range.low > -draw::infinity() && range.low <= range.high)) return false;
    split_at_range<Row>(a, rule, range, inboxes);
    const RangeSums sums = add_up_parts<Row>(a);
    if (sums.inside == 0 || sums.above >= need) return false;
    above = sums.above;
    if (sums.largest == sums.least) return cut_ties<Row>(rule, sums, need - above, cut);
    if (sums.listed && sums.inside <= kMostCompared<Row> && sums.inside <= list_limit<Row>()) {
      return cut_listed<Row>(a, rule, sums, need - above, cut);
    }
    buckets = RoughBuckets(rule, rule.exponent(draw::from_ordered_bits(sums.largest)),
                           rule.exponent(draw::from_ordered_bits(sums.least)));
  }
  return false;
}

// Draws and writes the result, by the block that has the token. False, in all blocks alike, if that is not done: see
// find_nucleus.
template <typename Row>
TOKENDRAW_DEVICE bool draw_nucleus(const Arguments& a, int64_t row, uint32_t status, const WeightRule& rule,
                                   const ToldMaxima& maxima) {
  NucleusCut cut = {};
  if (!find_nucleus<Row>({a.group_lines, a.warp_groups, a.cluster_shift}, rule, maxima, &cut)) return false;
  const uint64_t target = draw::draw_target(Row::shared().inputs.random, cut.mass);
  if (target < cut.before || target - cut.before >= cut.own) return true;
  const Found drawn = find_kept<Row>(rule, cut, target - cut.before);
  write_result(a, row, result_of<Row>({drawn.id, drawn.x, cut.count, cut.mass}, status));
  return true;
}

}  // namespace tokendraw::gpu
