// SPDX-License-Identifier: Apache-2.0
// The first read of a row by one block, and what can be known after it beside the maxima of the groups: estimates of
// what they weigh (mass_estimate.h), where about a cut of top_p lies (rough_row.h), and the list of the logits that may
// be among the top k.
//
// What is listed while the row is read are vectors, 16 bytes of logits, by their largest logit: those that reach a
// threshold that at least k logits reach, as far as the row has been read. It rises once, so few are listed that are
// not wanted; and the k-th largest of them says in the end which few are to be looked at once more. So rows whose token
// needs no more than that are read once.
#pragma once

#include "gpu/kernels/candidates.h"
#include "gpu/kernels/group_maxima.h"
#include "gpu/kernels/mass_estimate.h"
#include "gpu/kernels/rough_row.h"

namespace tokendraw::gpu {

// The threshold rises when this share of the row has been read, from what the first lines say to what is listed.
inline constexpr int32_t kEarlyShare = 8;

// Lists this lane's vector of a line: a key of its largest logit and its number.
template <typename Row>
TOKENDRAW_DEVICE void list_vector(float largest, int32_t line) {
  auto& s = Row::shared();
  const uint32_t place = platform::atomic_add(&s.listed, 1u);
  if (place >= list_limit<Row>()) return;
  s.keys[place] =
      draw::rank_key(draw::add_rn(largest, 0.0f), static_cast<uint32_t>(line) * Row::kWave + lane_index<Row::kWave>());
}

// What a first read looks for beside maxima; flags.
enum Finds : uint32_t {
  kFindsMaxima = 0,
  kFindsMasses = 1,   // what the groups weigh, as packed GroupEstimates in the place of masses
  kFindsBuckets = 2,  // with that: the histogram of rough_row.h
  kFindsVectors = 4,  // a list of the vectors that reach the threshold
};

// Reads the groups [first, last): their maxima into shared memory, and what else is to be found. The result is whether
// one of this thread's logits is NaN, or of its warp's. No barrier.
template <typename Row, uint32_t kFinds>
TOKENDRAW_DEVICE_CALL bool read_groups(int32_t first, int32_t last, float scale, float threshold) {
  [[maybe_unused]] constexpr int kWave = Row::kWave;
  constexpr bool kMasses = (kFinds & kFindsMasses) != 0;
  constexpr bool kBuckets = (kFinds & kFindsBuckets) != 0;
  auto& s = Row::shared();
  float sum = 0.0f;
  float reference = -kMostReference;  // of a line with something in it, at first
  RoughCount<Row> rough;
  if constexpr (kBuckets) rough.begin();
  return read_first_time<Row>(
      first, last, s.group_max,
      [&](int32_t line, const float(&x)[Row::Reader::kWidth], float largest, const GroupMax<Row>& of_group) {
        if constexpr ((kFinds & kFindsVectors) != 0) {
          if (largest >= threshold) list_vector<Row>(largest, line);
        }
        if constexpr (kMasses) {
          if (reference == -kMostReference) {
            const float of_warp = of_group.of_warp();
            reference = reference_of(of_warp, scale);
            if constexpr (kBuckets) rough.begin_counting(of_warp);
          }
          sum = draw::add_rn(sum, sum_of_weight_estimates(x, scale, reference));
        }
        if constexpr (kBuckets) rough.count(x, largest);
      },
      [&](int32_t group, float largest) {
        if constexpr (kMasses) {
          sum = warp_sum<kWave>(sum);
          if (lane_index<kWave>() == 0) {
            s.group_mass[group] = GroupEstimate{sum, static_cast<int32_t>(reference)}.packed();
          }
          const float next = platform::max_number(reference, reference_of(largest, scale));
          if constexpr (kBuckets) rough.finish_group(largest, sum, reference, next);
          reference = next;
          sum = 0.0f;
        }
      });
}

// A value that at least k logits reach, and not many more of the lines that are read first: one of their largest by
// lane. Has barriers.
template <typename Row>
TOKENDRAW_DEVICE_CALL float first_threshold(int32_t k) {
  constexpr int32_t kFirstLines = 4;  // of each warp
  const typename Row::Reader& reader = Row::shared().reader;
  GroupMax<Row> max;
  max.clear();
#pragma unroll
  for (int32_t i = 0; i < kFirstLines; ++i) {
    const int32_t line = i * Row::kWarps + static_cast<int32_t>(warp_index<Row::kWave>());
    if (line >= reader.lines()) continue;
    const platform::Words16 words = reader.fetch(line);
    float x[Row::Reader::kWidth];
    bool nan = false;
    reader.convert(words, line, x, nan);
    (void)max.take(words, x);
  }
  const float own = max.of_lane();
  const float largest = Row::BlockOf::max(own);
  clear_near<Row>();
  platform::block_barrier();
  return threshold_of<Row, Row::kThreads>(largest, Row::kThreads, static_cast<uint32_t>(k),
                                          [own](uint32_t, uint32_t) { return own; });
}

// Raises a threshold to one that at least k of n listed vectors reach; those are kept. Returns how many they are. Ends
// with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint32_t raise_threshold(uint32_t n, int32_t k, float* threshold) {
  auto& s = Row::shared();
  float largest = -draw::infinity();
  for (uint32_t i = platform::thread_index(); i < n; i += Row::kThreads) {
    largest = platform::max_number(largest, draw::rank_key_logit(s.keys[i]));
  }
  float higher = *threshold;
  n = keep_top_k<Row>(n, Row::BlockOf::max(largest), k, &higher);
  *threshold = platform::max_number(*threshold, higher);
  return n;
}

// The list of n vectors, one for each thread at most, becomes one of the logits in them that reach the threshold.
// Begins after a barrier and ends with one.
template <typename Row>
TOKENDRAW_DEVICE_CALL void list_logits_of_vectors(uint32_t n, float threshold) {
  constexpr int32_t kWidth = Row::Reader::kWidth;
  auto& s = Row::shared();
  const typename Row::Reader& reader = s.reader;
  const uint32_t thread = platform::thread_index();
  const uint64_t key = thread < n ? s.keys[thread] : 0;
  platform::block_barrier();
  if (thread == 0) s.listed = 0;
  platform::block_barrier();
  if (key != 0) {
    const int32_t id = reader.id_at(static_cast<int32_t>(draw::rank_key_id(key)) * kWidth);
    float x[kWidth];
    bool nan = false;
    reader.convert_at(reader.fetch_at(id), id, x, nan);
    list_hits<Row>(x, id, hits_in(x, threshold, draw::infinity()));
  }
  platform::block_barrier();
}

// Reads the row, with a list of what may be among its top k. s.collected becomes whether the list has all of it. Begins
// and ends with a barrier.
template <typename Row, bool kEstimate>
TOKENDRAW_DEVICE_CALL bool read_and_collect(int32_t k, float scale) {
  constexpr uint32_t kFinds = kFindsVectors | (kEstimate ? kFindsMasses : kFindsMaxima);
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  platform::block_barrier();
  float threshold = first_threshold<Row>(k);
  platform::block_barrier();
  if (thread == 0) s.listed = 0;
  platform::block_barrier();
  const int32_t early = Row::groups() / kEarlyShare;
  bool nan = read_groups<Row, kFinds>(0, early, scale, threshold);
  platform::block_barrier();
  uint32_t n = s.listed;
  platform::block_barrier();  // all have it before warps list more
  if (n > list_limit<Row>()) {
    threshold = draw::infinity();  // the list is of no use
  } else if (n > kPairwise) {
    (void)raise_threshold<Row>(n, k, &threshold);
  }
  nan |= read_groups<Row, kFinds>(early, Row::groups(), scale, threshold);
  nan = platform::block_any(nan);
  n = s.listed;
  platform::block_barrier();
  if (nan || n > list_limit<Row>()) return nan;
  n = raise_threshold<Row>(n, k, &threshold);
  if (n > Row::kThreads) return false;
  list_logits_of_vectors<Row>(n, threshold);
  if (thread == 0) s.collected = s.listed <= list_limit<Row>() ? 1 : 0;
  platform::block_barrier();
  return false;
}

}  // namespace tokendraw::gpu
