// SPDX-License-Identifier: Apache-2.0
// The kernel for devices with clusters: the blocks of a cluster hold a row in shared memory, so that it is read once,
// and everything after the read works on the chip. One cluster a row.
//
// Blocks meet as seldom as can be. They tell each other the maxima of their groups; each then knows the row's largest
// logit and a threshold that at least k logits reach, and sends what it has above it to block 0, which draws. Without a
// filter they tell each other their masses instead, and the block that has the token writes it. A row that this does
// not serve (too many candidates, a nucleus beyond them) goes on as any other row does (finish_row.h, find_cut.h,
// top_p_search.h), its blocks all together.
#pragma once

#include "gpu/kernels/resident_maxima.h"
#include "gpu/kernels/row_request.h"
#include "gpu/kernels/top_p_search.h"

namespace tokendraw::gpu {

// What is left to do once the group maxima are known.
enum class Way { kBest, kMasses, kCandidates, kSearch };

// Ranks of the threshold for a nucleus: real rows mostly need fewer.
inline constexpr int32_t kNucleusCandidates = 64;

template <typename Row>
TOKENDRAW_DEVICE Way way_of(const Settings& settings, const request::RowInputs& in) {
  if (in.params.greedy) return settings.wants_logprob ? Way::kSearch : Way::kBest;
  if (unfiltered(in)) return settings.wants_kept ? Way::kSearch : Way::kMasses;
  return settings.try_candidates ? Way::kCandidates : Way::kSearch;
}

// How candidates are found.
struct CandidateRule {
  bool by_k;        // at least this many reach the threshold
  bool by_m;        // those that min_p keeps do
  bool must_check;  // whether the cut is among them, by their mass
};

TOKENDRAW_DEVICE CandidateRule candidate_rule(const request::RowInputs& in) {
  const bool base_needs_k = in.params.top_p_on && in.params.base == draw::TopPBase::kAfterTopK && top_k_on(in);
  const bool by_m = min_p_on(in) && !base_needs_k;
  const bool by_nucleus = !top_k_on(in) && !by_m;
  return {top_k_on(in) || by_nucleus, by_m, by_nucleus};
}

// A value that at least `wanted` of a warp's values (as ordered bits, kEach a lane, 0: none) reach and not many more;
// that of the smallest finite logit if there are fewer. All lanes of the warp call.
template <int kEach, int kWave>
TOKENDRAW_DEVICE uint32_t threshold_of_values(const uint32_t (&bits)[kEach], uint32_t most, uint32_t wanted) {
  uint32_t low = draw::ordered_bits(-draw::infinity()) + 1;  // enough reach `low`, or it is the smallest
  uint32_t high = most + 1;                                  // too few reach `high`
  uint32_t step = uint32_t{1} << 20;                         // an eighth of a factor of 2: first down from the largest
  while (high - low > 1) {
    const bool near = high - low > 2 * uint64_t{step};
    const uint32_t middle = near ? high - step : low + (high - low) / 2;
    uint32_t own = 0;
#pragma unroll
    for (int i = 0; i < kEach; ++i) own += bits[i] >= middle ? 1 : 0;
    const uint32_t count = platform::warp_add<kWave>(own);
    (count >= wanted ? low : high) = middle;
    if (count >= wanted && count <= wanted + wanted / 8) break;
    step = near && count < wanted ? 2 * step : step;
  }
  return low;
}

// Tells all blocks the maxima of this block's groups, several as one where there are many, and whether it saw NaN.
template <typename Row>
TOKENDRAW_DEVICE void tell_maxima(const Arguments& a, bool nan) {
  auto& s = Row::shared();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const uint32_t thread = platform::thread_index();
  const uint32_t each = plan::kGpuClusterMaxima / blocks;
  const uint32_t each_shift = 31 - static_cast<uint32_t>(platform::leading_zeros(each));
  const auto groups = static_cast<uint32_t>(Row::groups());
#pragma unroll
  for (uint32_t i = 0; i < plan::kGpuClusterMaxima / Row::kThreads; ++i) {
    const uint32_t place = i * Row::kThreads + thread;
    const uint32_t slot = place & (each - 1);
    const uint32_t first = slot << a.maxima_shift;
    const uint32_t last = (slot + 1) << a.maxima_shift;
    float largest = -draw::infinity();
    for (uint32_t group = first; group < last && group < groups; ++group) {
      largest = platform::max_number(largest, s.group_max[group]);
    }
    *platform::cluster_map(&s.cluster.maxima[rank * each + slot], place >> each_shift) = largest;
  }
  if (thread < blocks) *platform::cluster_map(&s.cluster.nan[rank], thread) = nan ? 1 : 0;
}

// From all maxima: the row's rule, the place of the first largest, the threshold. Warp 0 calls.
template <typename Row>
TOKENDRAW_DEVICE void look_at_maxima(Way way) {
  constexpr int kWave = Row::kWave;
  constexpr int kEach = plan::kGpuClusterMaxima / kWave;
  auto& s = Row::shared();
  const uint32_t lane = lane_index<kWave>();
  uint32_t bits[kEach];
  uint32_t most = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    bits[i] = draw::ordered_bits(s.cluster.maxima[static_cast<uint32_t>(i) * kWave + lane]);
    most = bits[i] > most ? bits[i] : most;
  }
  most = platform::warp_largest<kWave>(most);
  const float max = draw::from_ordered_bits(most);
  const WeightRule rule = weight_rule(s.inputs, max);
  if (lane == 0) {
    s.rule = rule;
    s.listed = 0;
  }
  if (way == Way::kBest) {
    uint32_t first = plan::kGpuClusterMaxima;
#pragma unroll
    for (int i = kEach - 1; i >= 0; --i) first = bits[i] == most ? static_cast<uint32_t>(i) * kWave + lane : first;
    first = ~platform::warp_largest<kWave>(~first);
    if (lane == 0) s.cluster.first_max = first;
  }
  if (way != Way::kCandidates) return;
  const CandidateRule candidates = candidate_rule(s.inputs);
  uint32_t threshold = draw::ordered_bits(-draw::infinity()) + 1;
  if (candidates.by_k) {
    const int32_t k = candidates.must_check ? kNucleusCandidates : s.inputs.params.top_k;
    threshold = threshold_of_values<kEach, kWave>(bits, most, static_cast<uint32_t>(k));
  }
  if (candidates.by_m && max != -draw::infinity()) {
    platform::warp_barrier<kWave>();  // the rule is known
    const uint32_t least = draw::ordered_bits(smallest_weighing<Row>(s.inputs.params.min_weight));
    threshold = least > threshold ? least : threshold;
  }
  if (lane == 0) s.threshold = draw::from_ordered_bits(threshold);
}

// Sends this warp's logits at or above the threshold to block 0's list, each block's to its own part. Returns what
// those of this lane weigh, if asked.
template <typename Row>
TOKENDRAW_DEVICE uint64_t send_candidates(uint32_t room, bool weigh) {
  constexpr int kWidth = Row::Reader::kWidth;
  auto& s = Row::shared();
  const typename Row::Reader reader = s.reader;
  const WeightRule rule = s.rule;
  const float threshold = s.threshold;
  const int32_t group_lines = s.settings.group_lines;
  const GroupRange range = groups_of_warp<Row>(Row::groups());
  uint64_t* to = platform::cluster_map(&s.keys[0], 0) + platform::cluster_rank() * room;
  uint64_t mass = 0;
  for (int32_t first = range.first; first < range.last; first += Row::kWave) {
    const int32_t own = first + static_cast<int32_t>(lane_index<Row::kWave>());
    uint64_t hits = platform::warp_ballot<Row::kWave>(own < range.last && s.group_max[own] >= threshold);
    while (hits != 0) {
      const int32_t group = first + platform::first_bit(hits);
      hits &= hits - 1;
      for (int32_t line = group * group_lines; line < (group + 1) * group_lines && line < reader.lines(); ++line) {
        float x[kWidth];
        bool nan = false;
        reader.convert(reader.fetch_inside(line), line, x, nan);
        uint32_t found = 0;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) found |= x[i] >= threshold ? uint32_t{1} << i : 0;
        if (found == 0) continue;
        uint32_t place = platform::atomic_add(&s.listed, static_cast<uint32_t>(platform::count_bits(found)));
        const int32_t id = reader.first_id(line);
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          if ((found >> i & 1u) == 0) continue;
          const float effective = draw::add_rn(x[i], 0.0f);
          if (place < room) to[place] = draw::rank_key(effective, static_cast<uint32_t>(id + i));
          if (weigh) mass += rule.weight(effective);
          ++place;
        }
      }
    }
  }
  return mass;
}

// What the blocks sent, as one list without gaps, in block 0. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE uint32_t join_list(uint32_t room) {
  auto& s = Row::shared();
  constexpr uint32_t kEach = (Row::kListCapacity + Row::kThreads - 1) / Row::kThreads;
  const uint32_t thread = platform::thread_index();
  uint64_t keys[kEach];
  uint32_t places[kEach];
  uint32_t n = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) places[i] = ~uint32_t{0};
  for (uint32_t rank = 0; rank < platform::cluster_blocks(); ++rank) {
    const uint32_t listed = s.cluster.listed[rank];
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      const uint32_t own = i * Row::kThreads + thread - rank * room;  // wraps around below the part
      if (own < listed) places[i] = n + own;
    }
    n += listed;
  }
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (places[i] != ~uint32_t{0}) keys[i] = s.keys[i * Row::kThreads + thread];
  }
  platform::block_barrier();
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (places[i] != ~uint32_t{0}) s.keys[places[i]] = keys[i];
  }
  platform::block_barrier();
  return n;
}

// By candidates. False if they do not decide, in all blocks alike; the total is known then if it is needed.
template <typename Row>
TOKENDRAW_DEVICE bool try_candidates(const Arguments& a, int64_t row, uint32_t status) {
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const CandidateRule rule = candidate_rule(s.inputs);
  const bool total_needed = needs_total(s.settings, s.inputs);
  const uint32_t room = Row::kListCapacity / blocks;
  typename Row::BlockOf::Sums masses = {0, 0};
  masses.second = send_candidates<Row>(room, rule.must_check);
  if (total_needed) {
    sum_masses<Row, false>(0, Row::groups(), s.group_mass);
    platform::block_barrier();
    masses = Row::BlockOf::sum_both(Row::mass_of_own_group(), masses.second);
  } else {
    platform::block_barrier();
  }
  if (thread < blocks) {
    *platform::cluster_map(&s.cluster.listed[rank], thread) = s.listed;
    *platform::cluster_map(&s.cluster.mass[rank], thread) = masses.first;
    *platform::cluster_map(&s.cluster.listed_mass[rank], thread) = masses.second;
  }
  platform::cluster_barrier();
  bool enough_room = true;
  uint64_t total = 0;
  uint64_t listed_mass = 0;
  for (uint32_t r = 0; r < blocks; ++r) {
    enough_room = enough_room && s.cluster.listed[r] <= room;
    total += s.cluster.mass[r];
    listed_mass += s.cluster.listed_mass[r];
  }
  if (total_needed && thread == 0) s.total = total;
  if (!enough_room) return false;
  if (rule.must_check && listed_mass < draw::top_p_need(total, s.inputs.params.top_p)) return false;
  if (rank != 0) return true;
  const uint32_t n = join_list<Row>(room);
  const Drawn drawn = n <= kPairwise ? draw_from_pairs<Row>(n) : draw_from_sorted<Row>(n);
  write_result(a, row, result_of<Row>(drawn, status));
  return true;
}

// Without a filter. The block that has the token writes it.
template <typename Row>
TOKENDRAW_DEVICE void draw_by_masses(const Arguments& a, int64_t row, uint32_t status) {
  auto& s = Row::shared();
  const WeightRule rule = s.rule;
  const uint64_t random = s.inputs.random;
  sum_masses<Row, false>(0, Row::groups(), s.group_mass);
  platform::block_barrier();
  const FoundInRow drawn = find_in_row_here<Row>(
      Row::mass_of_own_group(), [random](uint64_t mass) { return draw::draw_target(random, mass); },
      [rule](int32_t, float x) { return rule.weight(x); });
  if (!drawn.here) return;
  if (platform::thread_index() == 0) s.total = drawn.total;
  write_result(a, row, result_of<Row>({drawn.found.id, drawn.found.x, 0, drawn.total}, status));
}

// The smallest id among the largest logits; only the block that has it calls.
template <typename Row>
TOKENDRAW_DEVICE void write_best(const Arguments& a, int64_t row, uint32_t status, uint32_t slot) {
  const auto& s = Row::shared();
  const float max = s.rule.max;
  int32_t group = static_cast<int32_t>(slot << a.maxima_shift);
  while (s.group_max[group] != max) ++group;
  const Found best = find_in_group<Row>(group, 0, [max](int32_t, float x) { return x == max ? 1 : 0; });
  write_result(a, row, result_of<Row>({best.id, best.x, 1, draw::kWeightOne}, status));
}

// By what works for every row, all blocks together.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_on_chip() {
  auto& s = Row::shared();
  Drawn drawn;
  if (needs_total(s.settings, s.inputs)) {
    if (searches_top_p<Row>(s.inputs) && !s.rule.infinite()) {
      clear_histogram<Row>();
      sum_masses<Row, true>(0, Row::groups(), s.group_mass);
      platform::block_barrier();
      add_up_histogram<Row>();
      keep_total<Row>();
      if (search_top_p<Row>(&drawn)) return drawn;
    } else {
      sum_masses<Row, false>(0, Row::groups(), s.group_mass);
      platform::block_barrier();
      keep_total<Row>();
    }
  }
  return draw_row<Row>();
}

// Begins a row: its parameters, its reader, its logits on their way, and when they are there its group maxima. False if
// it has no logits; with bad parameters s.valid is 0. *nan: a logit of this block is NaN. Ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE bool read_resident(const Arguments& a, int64_t row, bool* nan) {
  using Source = typename Row::Source;
  using Reader = typename Row::Reader;
  constexpr int32_t kLinesEach = Source::kLine / Reader::kLine;  // of the reader in one of the source
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const void* logits = request::logits_of_row(a.request, row);
  if (logits == nullptr) return false;
  Source source(logits, a.request.vocab);
  if constexpr (Source::kIsEdited) {
    if (thread == 0) {
      s.valid = read_inputs(a, row, &s.inputs) ? 1 : 0;
      if (s.valid != 0) {
        source.edit_by(a, row, s.inputs);
        s.source = source;
      }
    }
    platform::block_barrier();
    if (s.valid == 0) return true;
    source = s.source;
  }
  const LineRange block = lines_of_block<Row>(source);
  const int32_t lines = (block.last - block.first) * kLinesEach;
  const int32_t group_lines = a.group_lines;
  const int32_t groups = (lines + group_lines - 1) >> Row::shift_of(group_lines);
  const GroupRange range = groups_of_warp<Row>(groups);
  bool own_nan = false;
  if constexpr (Source::kIsEdited) {
    own_nan = load_edited<Row>(source, block);
  } else {
    const int32_t first = range.first * group_lines;
    const int32_t last = range.last * group_lines < lines ? range.last * group_lines : lines;
    begin_lines<Row>(source, block, first < last ? first : last, last);
    if (thread == Row::kThreads - Row::kWave) s.valid = read_inputs(a, row, &s.inputs) ? 1 : 0;
  }
  if (thread == 0) {
    s.settings = {group_lines, a.try_candidates, a.wants_logprob, a.request.kept != nullptr};
    s.reader = Reader(source.id_at(block.first * Source::kLine), lines, a.request.vocab);
  }
  if constexpr (Source::kIsEdited) {
    platform::block_barrier();
  } else {
    platform::warp_barrier<Row::kWave>();
    platform::finish_copy(&s.copied[warp_index<Row::kWave>()]);
  }
  if (lines > 0) own_nan |= resident_maxima<Row>(range, group_lines, lines);
  *nan = platform::block_any(own_nan);
  return true;
}

template <typename Row>
TOKENDRAW_DEVICE void sample_on_chip(const Arguments& a) {
  auto& s = Row::shared();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const int64_t row = platform::block_x() / blocks;
  const auto write_by_first = [&](const request::RowResult& result) {
    if (rank == 0) write_result(a, row, result);
  };
  Row::Team::prepare();
  platform::cluster_arrive();
  platform::wait_for_earlier_kernels();
  platform::let_next_kernel_begin();
  bool nan = false;
  const bool readable = read_resident<Row>(a, row, &nan);
  platform::cluster_wait();  // all blocks have begun
  if (!readable || s.valid == 0) return write_by_first(request::row_without_token(draw::kBadParameter));

  tell_maxima<Row>(a, nan);
  const Way way = way_of<Row>(s.settings, s.inputs);
  platform::cluster_barrier();
  if (warp_index<Row::kWave>() == 0) look_at_maxima<Row>(way);
  uint32_t status = list_status<Row>(a, row);
  for (uint32_t r = 0; r < blocks; ++r) status |= s.cluster.nan[r] != 0 ? uint32_t{draw::kNanLogit} : 0u;
  platform::block_barrier();
  if (s.rule.max == -draw::infinity()) return write_by_first(request::row_without_token(status | draw::kNoCandidate));

  if (way == Way::kBest) {
    const uint32_t each = plan::kGpuClusterMaxima / blocks;
    const uint32_t slot = s.cluster.first_max - rank * each;  // wraps around in the blocks after
    if (slot < each) write_best<Row>(a, row, status, slot);
    return;
  }
  if (way == Way::kMasses) return draw_by_masses<Row>(a, row, status);
  if (way == Way::kCandidates && try_candidates<Row>(a, row, status)) return;
  const Drawn drawn = draw_on_chip<Row>();
  write_by_first(result_of<Row>(drawn, status));
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(plan::kGpuClusterThreads, 3)
    sample_resident(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  if constexpr (platform::kHasClusters) sample_on_chip<ResidentRow<kDtype, kEdited, kWave>>(a);
}

}  // namespace tokendraw::gpu
