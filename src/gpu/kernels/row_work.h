// SPDX-License-Identifier: Apache-2.0
// One row and the block that works on it: the passes over its logits, from which finish_row.h is made. A group is a
// power of two of lines; its largest logit says whether a later pass can leave the group out.
#pragma once

#include "draw/exp2_fixed.h"
#include "gpu/kernels/row_reader.h"
#include "gpu/primitives/block.h"
#include "gpu/primitives/sort.h"

namespace tokendraw::gpu {

inline constexpr int kThreads = plan::kGpuBlockThreads;
inline constexpr int kMaxGroups = plan::kGpuMaxGroups;
inline constexpr int kListCapacity = 2048;  // keys that are sorted in shared memory
inline constexpr int kBuckets = 1024;       // of a histogram, which takes the place of the list

static_assert(kMaxGroups <= kThreads, "one thread for every group");

// How logits become weights: the contract's section 4 for one row.
struct WeightRule {
  float max;
  float scale;

  TOKENDRAW_DEVICE uint64_t weight(float x) const {
    if (max == draw::infinity()) return x == max ? draw::kWeightOne : 0;
    return draw::exp2_fixed(draw::mul_rn(draw::sub_rn(x, max), scale));  // 0 for -inf
  }
};

struct Histogram {
  uint32_t count[kBuckets];
  uint32_t mass_low[kBuckets];
  uint32_t mass_high[kBuckets];
};

// What a block keeps of its row in shared memory.
template <int kWave>
struct RowShared {
  typename Block<kThreads, kWave>::Shared block;
  request::RowInputs inputs;
  uint64_t group_mass[kMaxGroups];
  float group_max[kMaxGroups];
  uint16_t hit[kMaxGroups];  // groups that a gather visits
  union {
    uint64_t keys[kListCapacity];
    Histogram histogram;
  };
  uint32_t hits;
  uint32_t listed;
  uint32_t valid;  // the row's parameters are
};

// Numbers of a histogram's buckets: they rise as logits fall.
struct BucketMap {
  bool linear;     // by distance from the largest logit; else by the order-preserving bits
  float max;       // linear
  float per_unit;  // linear: buckets per unit of distance
  uint32_t high;   // by bits: those of the first bucket's first logit
  uint32_t shift;

  TOKENDRAW_DEVICE uint32_t bucket(float x, uint32_t bits) const {
    if (!linear) return (high - bits) >> shift;
    const float distance = draw::mul_rn(draw::sub_rn(max, x), per_unit);
    return distance < static_cast<float>(kBuckets - 1) ? static_cast<uint32_t>(distance) : kBuckets - 1;
  }
};

template <request::Dtype kDtype, bool kEdited, int kWave>
class RowWork {
 public:
  using Reader = RowReader<kDtype, kEdited, kWave>;
  static constexpr int kWarps = kThreads / kWave;
  // Lines that a warp fetches before it looks at the first. Edited rows wait for more than their logits anyway, and
  // each copy of what edits a line takes long to compile.
  static constexpr int kBatch = kEdited ? 1 : 4;

  TOKENDRAW_DEVICE RowWork(const Reader& reader, int32_t group_lines, RowShared<kWave>& shared)
      : row(reader), s(shared), block{shared.block}, group_lines_(group_lines) {}

  Reader row;
  RowShared<kWave>& s;
  Block<kThreads, kWave> block;

  TOKENDRAW_DEVICE int32_t groups() const { return (row.lines() + group_lines_ - 1) / group_lines_; }

  // The largest logit of each of the groups [first, last). Sets `nan` if a logit is NaN. No barrier.
  TOKENDRAW_DEVICE void read_maxima(int32_t first, int32_t last, float* group_max, bool& nan) {
    float largest = -draw::infinity();
    bool seen_nan = false;
    visit_lines(
        first, last, [](int32_t) { return true; },
        [&](int32_t, const float(&x)[Reader::kWidth]) {
#pragma unroll
          for (int i = 0; i < Reader::kWidth; ++i) largest = platform::max_number(largest, x[i]);
        },
        [&](int32_t group) {
          const float group_largest = warp_max<kWave>(largest);
          if (lane_index<kWave>() == 0) group_max[group] = group_largest;
          largest = -draw::infinity();
        },
        seen_nan);
    nan |= seen_nan;
  }

  // The mass of each of the groups [first, last) at keys >= cut; needs s.group_max. No barrier.
  TOKENDRAW_DEVICE void sum_masses(const WeightRule& rule, uint64_t cut, int32_t first, int32_t last,
                                   uint64_t* group_mass) {
    const float cut_x = cut == 0 ? -draw::infinity() : draw::rank_key_logit(cut);
    const int32_t cut_id = cut == 0 ? -1 : static_cast<int32_t>(draw::rank_key_id(cut) & 0x7fffffffu);
    uint64_t mass = 0;
    bool nan = false;
    visit_lines(
        first, last, [&](int32_t group) { return s.group_max[group] >= cut_x; },
        [&](int32_t line, const float(&x)[Reader::kWidth]) {
          const int32_t id = row.first_id(line);
#pragma unroll
          for (int i = 0; i < Reader::kWidth; ++i) {
            const bool kept = x[i] > cut_x || (x[i] == cut_x && id + i <= cut_id);
            mass += kept ? rule.weight(x[i]) : 0;
          }
        },
        [&](int32_t group) {
          const uint64_t group_total = warp_sum<kWave>(mass);
          if (lane_index<kWave>() == 0) group_mass[group] = group_total;
          mass = 0;
        },
        nan);
  }

  // s.group_mass for all groups at keys >= cut; returns the sum. Begins and ends with a barrier.
  TOKENDRAW_DEVICE uint64_t sum_all_masses(const WeightRule& rule, uint64_t cut) {
    platform::block_barrier();
    sum_masses(rule, cut, 0, groups(), s.group_mass);
    platform::block_barrier();
    return block.sum(mass_of_own_group());
  }

  // The mass of the group with this thread's number.
  TOKENDRAW_DEVICE uint64_t mass_of_own_group() const {
    const auto thread = static_cast<int32_t>(platform::thread_index());
    return thread < groups() ? s.group_mass[thread] : 0;
  }

  // How many logits have a key >= cut and are at least `lightest`.
  TOKENDRAW_DEVICE uint64_t count_from(uint64_t cut, float lightest) {
    const float cut_x = cut == 0 ? -draw::infinity() : draw::rank_key_logit(cut);
    const int32_t cut_id = cut == 0 ? -1 : static_cast<int32_t>(draw::rank_key_id(cut) & 0x7fffffffu);
    uint64_t count = 0;
    bool nan = false;
    visit_lines(
        0, groups(), [&](int32_t group) { return s.group_max[group] >= cut_x; },
        [&](int32_t line, const float(&x)[Reader::kWidth]) {
          const int32_t id = row.first_id(line);
#pragma unroll
          for (int i = 0; i < Reader::kWidth; ++i) {
            const bool kept = x[i] > cut_x || (x[i] == cut_x && id + i <= cut_id);
            count += kept && x[i] >= lightest ? 1 : 0;
          }
        },
        [](int32_t) {}, nan);
    return block.sum(count);
  }

  // s.group_mass becomes the number of logits equal to x in each group. Begins and ends with a barrier.
  TOKENDRAW_DEVICE void count_ties(float tie) {
    platform::block_barrier();
    uint64_t count = 0;
    bool nan = false;
    visit_lines(
        0, groups(), [&](int32_t group) { return s.group_max[group] >= tie; },
        [&](int32_t line, const float(&x)[Reader::kWidth]) {
          const int32_t id = row.first_id(line);
#pragma unroll
          for (int i = 0; i < Reader::kWidth; ++i) count += x[i] == tie && row.in_row(id + i) ? 1 : 0;
        },
        [&](int32_t group) {
          const uint64_t group_count = warp_sum<kWave>(count);
          if (lane_index<kWave>() == 0) s.group_mass[group] = group_count;
          count = 0;
        },
        nan);
    platform::block_barrier();
  }

  // Sorts the group maxima, which takes the place of the list: s.keys[i] is the i-th largest, above its group's number.
  TOKENDRAW_DEVICE void sort_group_maxima() {
    const uint32_t thread = platform::thread_index();
    platform::block_barrier();
    if (static_cast<int32_t>(thread) < groups()) {
      s.keys[thread] = (static_cast<uint64_t>(draw::ordered_bits(s.group_max[thread])) << 32) | thread;
    }
    block_sort_descending<kThreads, kWave>(s.keys, static_cast<uint32_t>(groups()));
  }

  // Lists in s.keys the rank keys of the logits in [low, high], unordered, as many as there is room for. Returns how
  // many there are, or some number above the capacity if there are more. Begins and ends with a barrier. -inf is never
  // listed.
  TOKENDRAW_DEVICE uint32_t gather(float low, float high) {
    const uint32_t thread = platform::thread_index();
    platform::block_barrier();
    if (thread == 0) {
      s.hits = 0;
      s.listed = 0;
    }
    platform::block_barrier();
    const bool hit = static_cast<int32_t>(thread) < groups() && s.group_max[thread] >= low;
    if (hit) s.hit[platform::atomic_add(&s.hits, 1u)] = static_cast<uint16_t>(thread);
    platform::block_barrier();
    const auto lines = static_cast<int32_t>(s.hits) * group_lines_;
    for (auto first = static_cast<int32_t>(warp_index<kWave>()) * kBatch; first < lines; first += kWarps * kBatch) {
      if (list_is_full()) break;
      platform::Words16 words[kBatch] = {};
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int32_t line = line_of_hits(first + b, lines);
        if (line < row.lines()) words[b] = row.fetch(line);
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int32_t line = line_of_hits(first + b, lines);
        if (line < row.lines()) list_line(words[b], line, low, high);
      }
    }
    platform::block_barrier();
    return s.listed;
  }

  // s.histogram of the logits in [low, high]. Begins and ends with a barrier.
  TOKENDRAW_DEVICE void fill_histogram(const WeightRule& rule, float low, float high, const BucketMap& map,
                                       bool wants_mass) {
    platform::block_barrier();
    for (uint32_t b = platform::thread_index(); b < kBuckets; b += kThreads) {
      s.histogram.count[b] = 0;
      s.histogram.mass_low[b] = 0;
      s.histogram.mass_high[b] = 0;
    }
    platform::block_barrier();
    bool nan = false;
    visit_lines(
        0, groups(), [&](int32_t group) { return s.group_max[group] >= low; },
        [&](int32_t, const float(&x)[Reader::kWidth]) {
          for (int i = 0; i < Reader::kWidth; ++i) {
            if (!(x[i] >= low && x[i] <= high)) continue;
            const uint32_t bucket = map.bucket(x[i], draw::ordered_bits(x[i]));
            platform::atomic_add(&s.histogram.count[bucket], 1u);
            if (!wants_mass) continue;
            // A sum of 64 bits by two additions of 32: the old value tells the carry.
            const uint64_t weight = rule.weight(x[i]);
            const auto weight_low = static_cast<uint32_t>(weight);
            const uint32_t old = platform::atomic_add(&s.histogram.mass_low[bucket], weight_low);
            const uint32_t carry = old + weight_low < weight_low ? 1 : 0;
            const uint32_t weight_high = static_cast<uint32_t>(weight >> 32) + carry;
            if (weight_high != 0) platform::atomic_add(&s.histogram.mass_high[bucket], weight_high);
          }
        },
        [](int32_t) {}, nan);
    platform::block_barrier();
  }

  // The first id, in a group, at which the running sum of measure(id, x) exceeds `target`; the group's sum does. All
  // threads call and get *id and *x.
  template <typename MeasureOf>
  TOKENDRAW_DEVICE void find_in_group(int32_t group, uint64_t target, const MeasureOf& measure_of, int32_t* id,
                                      float* x) {
    const int32_t length = group_lines_ * Reader::kLine;
    for (int32_t place = group * length; place < (group + 1) * length; place += kThreads) {
      const auto own_place = place + static_cast<int32_t>(platform::thread_index());
      const int32_t own_id = row.id_at(own_place);
      const bool inside = own_place < (group + 1) * length && row.in_row(own_id);
      const float own_x = inside ? row.load_one(own_id) : -draw::infinity();
      const uint64_t own = inside ? measure_of(own_id, own_x) : 0;
      uint64_t total = 0;
      const uint64_t before = block.exclusive_sum(own, &total);
      if (total <= target) {
        target -= total;
        continue;
      }
      const bool mine = before <= target && target - before < own;
      const uint64_t found =
          block.broadcast(mine, (static_cast<uint64_t>(draw::float_bits(own_x)) << 32) | static_cast<uint32_t>(own_id));
      *id = static_cast<int32_t>(found & 0xffffffffu);
      *x = draw::bits_float(static_cast<uint32_t>(found >> 32));
      return;
    }
  }

  // The group at which the running sum of s.group_mass exceeds *target, which becomes what is left of it there.
  TOKENDRAW_DEVICE int32_t find_group(uint64_t* target) {
    uint64_t total = 0;
    const uint64_t own = mass_of_own_group();
    const uint64_t before = block.exclusive_sum(own, &total);
    const bool mine = before <= *target && *target - before < own;
    const auto group = static_cast<int32_t>(block.broadcast(mine, platform::thread_index()));
    *target -= block.broadcast(mine, before);
    return group;
  }

 private:
  // Calls visit(line, logits) for the lines of the groups [first, last) that are `needed`, and done(group) after each
  // group, whether needed or not. Every warp takes whole groups, a batch of lines at a time.
  template <typename Needed, typename Visit, typename Done>
  TOKENDRAW_DEVICE void visit_lines(int32_t first, int32_t last, const Needed& needed, const Visit& visit,
                                    const Done& done, bool& nan) {
    const int32_t lines = row.lines();
    const int32_t at_once = group_lines_ < kBatch ? kBatch / group_lines_ : 1;
    for (int32_t group = first + static_cast<int32_t>(warp_index<kWave>()) * at_once; group < last;
         group += kWarps * at_once) {
      const int32_t last_group = group + at_once < last ? group + at_once : last;
      const int32_t end = last_group * group_lines_ < lines ? last_group * group_lines_ : lines;
      for (int32_t line = group * group_lines_; line < end; line += kBatch) {
        platform::Words16 words[kBatch] = {};
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          if (line + b < end && needed((line + b) / group_lines_)) words[b] = row.fetch(line + b);
        }
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
          if (line + b >= end) continue;
          const int32_t own_group = (line + b) / group_lines_;
          if (needed(own_group)) {
            float x[Reader::kWidth];
            row.convert(words[b], line + b, x, nan);
            visit(line + b, x);
          }
          if ((line + b + 1) % group_lines_ == 0 || line + b + 1 == lines) done(own_group);
        }
      }
    }
  }

  // The line at position i of the lines of all hit groups; one past the row where i is past them.
  TOKENDRAW_DEVICE int32_t line_of_hits(int32_t i, int32_t hit_lines) const {
    if (i >= hit_lines) return row.lines();
    return static_cast<int32_t>(s.hit[i / group_lines_]) * group_lines_ + i % group_lines_;
  }

  TOKENDRAW_DEVICE bool list_is_full() {
    uint32_t listed = 0;
    if (lane_index<kWave>() == 0) listed = platform::atomic_add(&s.listed, 0u);
    return platform::warp_shuffle<kWave>(listed, 0u) > kListCapacity;
  }

  TOKENDRAW_DEVICE void list_line(const platform::Words16& words, int32_t line, float low, float high) {
    float x[Reader::kWidth];
    bool nan = false;
    row.convert(words, line, x, nan);
    const int32_t id = row.first_id(line);
    const uint32_t lane = lane_index<kWave>();
#pragma unroll
    for (int i = 0; i < Reader::kWidth; ++i) {
      const bool hit = x[i] >= low && x[i] <= high && x[i] != -draw::infinity();
      const uint64_t hits = platform::warp_ballot<kWave>(hit);
      if (hits == 0) continue;
      uint32_t place = 0;
      const auto leader = static_cast<uint32_t>(platform::first_bit(hits));
      if (lane == leader) {
        place = platform::atomic_add(&s.listed, static_cast<uint32_t>(platform::count_bits(hits)));
      }
      place = platform::warp_shuffle<kWave>(place, leader);
      place += static_cast<uint32_t>(platform::count_bits(hits & ((uint64_t{1} << lane) - 1)));
      if (hit && place < kListCapacity) s.keys[place] = draw::rank_key(x[i], static_cast<uint32_t>(id + i));
    }
  }

  int32_t group_lines_;
};

}  // namespace tokendraw::gpu
