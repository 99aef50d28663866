// SPDX-License-Identifier: Apache-2.0
// Where the cut of top_p lies in a row that a cluster holds, if no other filter has one: rough sums say where to look,
// exact ones decide.
//
// Each block adds its weights, nearly, to a histogram (rough_buckets.h); the sums over all blocks say in which bucket
// the mass reaches what top_p needs. One more pass over the row sums exactly what lies above that bucket's logits, and
// lists those in it. All blocks tell all what they found, so that all know the same and none has to be asked
// (resident_nucleus_draw.h).
#pragma once

#include "gpu/kernels/resident_exchange.h"
#include "gpu/kernels/rough_buckets.h"
#include "gpu/kernels/warp_find.h"

namespace tokendraw::gpu {

// How a row is cut: of Arguments, in registers.
struct RowParts {
  int32_t group_lines;
  int32_t warp_groups;
  int32_t cluster_shift;
};

// Below the exponent of the cut for sure, from the maxima of all groups: the logits beyond a cut have a share of 1 - p
// of the mass, so one of them has that over their number. The same in all blocks. Has a barrier.
template <typename Row>
TOKENDRAW_DEVICE float exponent_below_cut(const WeightRule& rule, const ToldMaxima& maxima) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  float sum = 0.0f;
#pragma unroll
  for (const float x : maxima.x) sum = draw::add_rn(sum, platform::exp2_estimate(rule.exponent(x)));
  sum = warp_sum<kWave>(sum);
  if (lane_index<kWave>() == 0) s.warp_mass[warp_index<kWave>()] = draw::float_bits(sum);
  platform::block_barrier();
  float mass = 0.0f;
#pragma unroll
  for (int w = 0; w < Row::kWarps; ++w) {
    mass = draw::add_rn(mass, draw::bits_float(static_cast<uint32_t>(s.warp_mass[w])));
  }
  // As a share of 2^32; a top_p nearer to 1 has no bound.
  const uint64_t beyond = (uint64_t{1} << 32) - draw::top_p_need(uint64_t{1} << 32, s.inputs.params.top_p);
  const float least =
      draw::div_rn(draw::mul_rn(mass, static_cast<float>(beyond)), static_cast<float>(s.reader.vocab()));
  const uint32_t bits = draw::float_bits(least);
  // 2^e (1 + f) has a logarithm of at least e + f.
  const float logarithm = static_cast<float>(static_cast<int32_t>(bits >> 23) - (127 + 32)) +
                          static_cast<float>(bits & 0x7fffffu) * 0x1p-23f;
  constexpr float kMargin = 0.01f;
  constexpr float kLightest = -30.0f;  // so that buckets are no wider than 2^-6
  const float below = draw::sub_rn(logarithm, kMargin);
  return below > kLightest ? below : kLightest;
}

// Adds a warp's part of the row to the block's histogram; the result is what the part weighs, exactly.
template <typename Row>
TOKENDRAW_DEVICE uint64_t count_roughly(const RowParts& a, const RoughBuckets& buckets) {
  constexpr int kWave = Row::kWave;
  constexpr int kWidth = Row::Reader::kWidth;
  auto& s = Row::shared();
  const typename Row::Reader reader = s.reader;
  const uint32_t lane = lane_index<kWave>();
  const GroupRange range = groups_of_warp<Row>(a.warp_groups);
  const int32_t end = range.last * a.group_lines < reader.lines() ? range.last * a.group_lines : reader.lines();
  ThreadMass<kWave> sum;
  for (int32_t line = range.first * a.group_lines; line < end; ++line) {
    float x[kWidth];
    bool nan = false;
    reader.convert(reader.fetch_inside(line), line, x, nan);
    // Without branches, so that the logits of a line do not wait for one another: what does not count adds nothing to
    // some bucket, another one for each lane.
    uint32_t weights[kWidth];
    uint32_t places[kWidth];
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float exponent = buckets.rule.exponent(x[e]);
      sum.add(exponent);
      const bool counts = buckets.counts(exponent);
      const uint32_t place = buckets.bucket(exponent, &weights[e]);
      places[e] = counts ? place : lane;
      weights[e] = counts ? weights[e] : 0;
    }
#pragma unroll
    for (int e = 0; e < kWidth; ++e) platform::atomic_add(&s.rough[places[e]], weights[e]);
  }
  return warp_sum_of_52_bits<kWave>(sum.value());
}

// Opens the block's inboxes of one round. One thread calls, before a barrier of the cluster.
TOKENDRAW_DEVICE void open_inboxes(NucleusInboxes* inboxes) {
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  platform::open_inbox(&inboxes->sums, 1);
  platform::open_inbox(&inboxes->bucket, 1);
  platform::open_inbox(&inboxes->parts, blocks);
  platform::announce(&inboxes->sums, rank, blocks * sizeof(uint64_t));
  platform::announce(&inboxes->bucket, rank, sizeof(uint64_t));
}

// Fills the block's histogram; the result is what the row weighs, exactly. Begins with a barrier of the block and ends
// with one of the cluster: the histograms can be read from all blocks then, and messages sent to the inboxes.
template <typename Row>
TOKENDRAW_DEVICE uint64_t fill_rough_histogram(const RowParts& a, const RoughBuckets& buckets,
                                               NucleusInboxes* inboxes) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t blocks = platform::cluster_blocks();
  platform::block_barrier();
  if (thread == 0) open_inboxes(inboxes);
  for (uint32_t b = thread; b < kRoughBuckets; b += Row::kThreads) s.rough[b] = 0;
  platform::block_barrier();
  const uint64_t of_warp = count_roughly<Row>(a, buckets);
  if (lane == 0) s.warp_mass[warp_index<kWave>()] = of_warp;
  platform::block_barrier();
  if (thread < blocks) {
    *platform::cluster_map(&s.cluster.row_mass[platform::cluster_rank()], thread) = mass_of_block<Row>();
  }
  platform::cluster_barrier();
  return warp_sum<kWave>(lane < blocks ? s.cluster.row_mass[lane] : 0);
}

// The bucket in which the rough sums of all blocks reach `want`, -1 if they do not: the same in all blocks. Each adds
// up a share of the buckets. After it no block looks at another one's histogram.
template <typename Row>
TOKENDRAW_DEVICE int32_t find_rough_bucket(const RowParts& a, const RoughBuckets& buckets, uint64_t want,
                                           NucleusInboxes* inboxes) {
  constexpr int kWave = Row::kWave;
  constexpr int32_t kThreadsShift = 8;
  constexpr int32_t kBucketsShift = 11;
  constexpr uint32_t kMostEach = 4;  // buckets of a thread, in a cluster of two blocks
  constexpr uint32_t kLoads = kRoughBuckets / Row::kThreads;
  constexpr int32_t kUnit = 40;  // rough masses are in units of 2^-40 of the largest weight, and below 2^63
  static_assert(1u << kThreadsShift == Row::kThreads && 1u << kBucketsShift == kRoughBuckets);
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  // Several threads for each bucket, neighbours in a warp, or several buckets for each thread: as many loads in any
  // case.
  const int32_t share_shift = kBucketsShift - a.cluster_shift;
  const int32_t parts_shift = share_shift < kThreadsShift ? kThreadsShift - share_shift : 0;
  const int32_t each_shift = share_shift > kThreadsShift ? share_shift - kThreadsShift : 0;
  const uint32_t part = thread & ((1u << parts_shift) - 1);
  const uint32_t first = (rank << share_shift) + (thread >> parts_shift << each_shift);
  float multiples[kMostEach] = {};
#pragma unroll
  for (uint32_t i = 0; i < kLoads; ++i) {
    const uint32_t each = i & ((1u << each_shift) - 1);
    const uint32_t from = part + (i >> each_shift << parts_shift);
    const uint32_t sum = from < blocks ? platform::cluster_map(&s.rough[0], from)[first + each] : 0;
#pragma unroll
    for (uint32_t e = 0; e < kMostEach; ++e) multiples[e] += e == each ? static_cast<float>(sum) : 0.0f;
  }
  uint64_t sums[kMostEach] = {};
  uint64_t own = 0;
#pragma unroll
  for (uint32_t e = 0; e < kMostEach; ++e) {
    if (e >> each_shift != 0) continue;
    for (uint32_t mask = 1; mask >> parts_shift == 0; mask *= 2) {
      multiples[e] += platform::warp_shuffle_xor<kWave>(multiples[e], mask);
    }
    const float exponent = buckets.exponent_of(first + e);
    sums[e] = static_cast<uint64_t>(multiples[e] * platform::exp2_estimate(exponent + float{kUnit - kRoughBits}));
    own += part == 0 ? sums[e] : 0;
  }
  const auto up_to_thread = Row::BlockOf::exclusive_sum(own);
  if (thread < blocks) platform::send(s.cluster.mass, rank, up_to_thread.second, &inboxes->sums, thread);
  platform::wait_for_inbox<kWave>(&inboxes->sums);
  const uint64_t up_to = warp_inclusive_sum<kWave>(lane < blocks ? s.cluster.mass[lane] : 0);
  want >>= kWeightBits - kUnit;
  if (want == 0) want = 1;
  if (platform::warp_shuffle<kWave>(up_to, static_cast<uint32_t>(kWave - 1)) < want) return -1;
  uint64_t before = platform::warp_shuffle<kWave>(up_to, rank) - up_to_thread.second + up_to_thread.first;
  if (before < want && want - before <= own) {
    uint32_t bucket = first;
#pragma unroll
    for (uint32_t e = 0; e + 1 < kMostEach; ++e) {
      before += sums[e];
      bucket += before < want ? 1 : 0;
    }
    for (uint32_t to = 0; to < blocks; ++to) {
      platform::send(&s.cluster.bucket, 0, uint64_t{bucket}, &inboxes->bucket, to);
    }
  }
  platform::wait_for_inbox<kWave>(&inboxes->bucket);
  return static_cast<int32_t>(s.cluster.bucket);
}

// The pass over a warp's groups: their masses above the range and how many of their logits are inside, into shared
// memory, and those logits' keys into the block's part of the list, as many as there is room for. What is found in all
// belongs to `part`. A few lines side by side, since a weight is a chain of 22 dependent steps.
template <typename Row>
TOKENDRAW_DEVICE void sum_above_range(const RowParts& a, const WeightRule& rule, const LogitRange& logits,
                                      uint64_t* keys, uint32_t room, RangePart* part) {
  constexpr int kWave = Row::kWave;
  constexpr int kWidth = Row::Reader::kWidth;
  constexpr int kAtOnce = 16 / kWidth;
  auto& s = Row::shared();
  const typename Row::Reader reader = s.reader;
  const auto lane = static_cast<int32_t>(lane_index<kWave>());
  const GroupRange range = groups_of_warp<Row>(a.warp_groups);
  uint64_t of_warp = 0;
  uint32_t above_count = 0;
  uint32_t largest = 0;
  uint32_t least = 0;
  for (int32_t group = range.first; group < range.last; group += kAtOnce) {
    ThreadMass<kWave> sum[kAtOnce];
    uint32_t inside[kAtOnce] = {};
    uint64_t any_above = 0;
    uint64_t any_inside = 0;
    for (int32_t i = 0; i < a.group_lines; ++i) {
      const auto fetch = [&](int j, float(&x)[kWidth]) {
        const int32_t line = (group + j) * a.group_lines + i;
        const bool exists = group + j < range.last && line < reader.lines();
        bool nan = false;
        reader.convert(reader.fetch_inside(exists ? line : 0), line, x, nan);
        return exists;
      };
      uint32_t above = 0;  // bit j * kWidth + e: logit e of the line of group + j
      uint32_t found = 0;
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        float x[kWidth];
        const bool exists = fetch(j, x);
#pragma unroll
        for (int e = 0; e < kWidth; ++e) {
          above |= exists && x[e] > logits.high ? 1u << (j * kWidth + e) : 0;
          found |= exists && x[e] >= logits.low && x[e] <= logits.high ? 1u << (j * kWidth + e) : 0;
        }
      }
      // Many lines of peaked rows have none of either.
      const uint64_t lanes_above = platform::warp_ballot<kWave>(above != 0);
      if (lanes_above != 0) {
        any_above |= lanes_above;
        above_count += static_cast<uint32_t>(platform::count_bits(above));
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
          float x[kWidth];
          (void)fetch(j, x);
#pragma unroll
          for (int e = 0; e < kWidth; ++e) {
            sum[j].add((above >> (j * kWidth + e) & 1u) != 0 ? rule.exponent(x[e]) : kNoWeight);
          }
        }
      }
      const uint64_t lanes_inside = platform::warp_ballot<kWave>(found != 0);
      if (lanes_inside == 0) continue;
      any_inside |= lanes_inside;
      constexpr uint32_t kOfLine = (1u << kWidth) - 1;
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        inside[j] += static_cast<uint32_t>(platform::count_bits(found >> (j * kWidth) & kOfLine));
      }
      uint32_t place = 0;
      if (found != 0) place = platform::atomic_add(&s.listed, static_cast<uint32_t>(platform::count_bits(found)));
      for (; found != 0; found &= found - 1) {
        const int bit = 31 - platform::leading_zeros(found & (0u - found));
        const int32_t id = reader.first_id((group + bit / kWidth) * a.group_lines + i) + bit % kWidth;
        const uint64_t key = draw::rank_key(reader.load_one(id), static_cast<uint32_t>(id));
        const auto bits = static_cast<uint32_t>(key >> 32);
        largest = bits > largest ? bits : largest;
        least = ~bits > least ? ~bits : least;
        if (place < room) keys[place] = key;
        ++place;
      }
    }
    uint64_t mass = 0;  // lane j has what belongs to group + j
    uint32_t count = 0;
    if (any_above != 0) {
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        const uint64_t total = warp_sum_of_52_bits<kWave>(sum[j].value());
        mass = lane == j ? total : mass;
        of_warp += total;
      }
    }
    if (any_inside != 0) {
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) {
        const uint32_t total = platform::warp_add<kWave>(inside[j]);
        count = lane == j ? total : count;
      }
    }
    if (lane < kAtOnce && group + lane < range.last) {
      s.group_mass[group + lane] = mass;
      s.range.inside[group + lane] = count;
    }
  }
  above_count = platform::warp_add<kWave>(above_count);
  largest = platform::warp_largest<kWave>(largest);
  least = platform::warp_largest<kWave>(least);
  if (lane != 0) return;
  s.warp_mass[warp_index<kWave>()] = of_warp;
  platform::atomic_add(&part->above_count, above_count);
  platform::atomic_max(&part->largest, largest);
  platform::atomic_max(&part->least, least);
}

// log2 of how many keys each block's part of the list takes.
template <typename Row>
TOKENDRAW_DEVICE int32_t room_shift(const RowParts& a) {
  constexpr int32_t kListShift = 10;
  static_assert(1 << kListShift == Row::kListCapacity);
  return kListShift - a.cluster_shift;
}

// That pass by all blocks, and all tell all what they found: s.range.parts, and the keys, of each block in its part of
// the list, of those where they found room.
template <typename Row>
TOKENDRAW_DEVICE void split_at_range(const RowParts& a, const WeightRule& rule, const LogitRange& range,
                                     NucleusInboxes* inboxes) {
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const uint32_t room = 1u << room_shift<Row>(a);
  RangePart* own = &s.own_part;
  platform::block_barrier();
  if (thread == 0) {
    s.listed = 0;
    *own = {};
  }
  platform::block_barrier();
  sum_above_range<Row>(a, rule, range, s.keys + rank * room, room, own);
  platform::block_barrier();
  const uint32_t listed = s.listed;
  const bool fits = listed <= room;
  if (thread < blocks) {
    RangePart part = *own;
    part.above = mass_of_block<Row>();
    part.listed = listed;
    static_assert(sizeof part == 2 * sizeof(platform::Words16));
    const auto word = [](uint64_t value) { return static_cast<uint32_t>(value); };
    const platform::Words16 first = {{word(part.above), word(part.above >> 32), part.above_count, part.listed}};
    const platform::Words16 second = {{part.largest, part.least, 0, 0}};
    auto* to = reinterpret_cast<platform::Words16*>(s.range.parts);
    platform::send(to, 2 * rank, first, &inboxes->parts, thread);
    platform::send(to, 2 * rank + 1, second, &inboxes->parts, thread);
    const auto of_keys = fits && thread != rank ? listed * static_cast<uint32_t>(sizeof(uint64_t)) : 0;
    platform::announce(&inboxes->parts, thread, static_cast<uint32_t>(sizeof part) + of_keys);
  }
  for (uint32_t i = thread; fits && i < listed << a.cluster_shift; i += Row::kThreads) {
    const uint32_t place = rank * room + (i >> a.cluster_shift);
    const uint32_t to = i & (blocks - 1);
    if (to != rank) platform::send(s.keys, place, s.keys[place], &inboxes->parts, to);
  }
  platform::wait_for_inbox<Row::kWave>(&inboxes->parts);
}

}  // namespace tokendraw::gpu
