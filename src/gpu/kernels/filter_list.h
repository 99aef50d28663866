// SPDX-License-Identifier: Apache-2.0
// From a row's largest elements to what its filters keep and the token: for top_k by a list of them, which all blocks
// have and look at by themselves; else by search.
#pragma once

#include "gpu/kernels/filter_search.h"

namespace tokendraw::gpu {

// More than so many elements are too many to compare all with all, where fewer may do.
inline constexpr uint32_t kFilterPairs = 128;

// Tells all blocks the largest elements of this block's threads, some threads together, and whether it has an element
// that is no number. Returns the row's largest one; *bad becomes that of the row. The blocks have begun.
template <typename Part>
TOKENDRAW_DEVICE float tell_maxima(float largest_of_lane, bool* bad) {
  constexpr int kWave = Part::kWave;
  auto& s = Part::shared();
  const uint32_t thread = platform::thread_index();
  float largest = largest_of_lane;
#pragma unroll
  for (uint32_t mask = 1; mask < Part::kMaximaThreads; mask *= 2) {
    largest = platform::max_number(largest, platform::warp_shuffle_xor<kWave>(largest, mask));
  }
  // The threads that know a maximum tell it to one block after the other.
  const uint32_t place = Part::rank() * Part::kBlockMaxima + thread / Part::kMaximaThreads;
  for (uint32_t r = thread % Part::kMaximaThreads; r < Part::blocks(); r += Part::kMaximaThreads) {
    *Part::of_block(&s.maxima[place], r) = largest;
  }
  if (thread < Part::blocks()) *Part::of_block(&s.bad[Part::rank()], thread) = *bad ? 1 : 0;
  Part::team_barrier();
  const uint32_t count = Part::kBlockMaxima * Part::blocks();
  largest = -draw::infinity();
#pragma unroll
  for (uint32_t i = 0; i < Part::kMaxima / Part::kThreads; ++i) {
    const uint32_t at = i * Part::kThreads + thread;
    largest = at < count ? platform::max_number(largest, s.maxima[at]) : largest;
  }
  for (uint32_t r = 0; r < Part::blocks(); ++r) *bad = *bad || s.bad[r] != 0;
  return draw::add_rn(Part::BlockOf::max(largest), 0.0f);
}

// What a row's parameters ask for.
struct FilterAsked {
  bool top_k;
  bool base_is_row;   // top_p's share is of the row, or of what min_p keeps of it; else of the top k
  bool base_needs_m;  // of what min_p keeps
};

TOKENDRAW_DEVICE FilterAsked asked_of(const draw::RowParams& params, int32_t vocab) {
  const bool top_k = params.top_k < vocab;
  const bool all = params.base == draw::TopPBase::kAll;
  return {top_k, params.top_p_on && (all || !top_k), params.base == draw::TopPBase::kAfterAll};
}

// The key of the lightest element that min_p keeps; 0: it is off.
template <typename Part>
TOKENDRAW_DEVICE uint64_t key_of_min_p(const typename Part::Weights& weights, uint64_t min_weight) {
  if (min_weight == 0) return 0;
  return static_cast<uint64_t>(draw::ordered_bits(smallest_element<Part>(weights, min_weight))) << 21;
}

// An element that at least k elements reach, and not many more; +inf if the maxima do not say one.
template <typename Part>
TOKENDRAW_DEVICE float element_reached_by(const typename Part::Weights& weights, uint64_t k) {
  const auto& s = Part::shared();
  const FilterIntervals intervals = FilterIntervals::down_to(-64.0f);
  const uint32_t count = Part::kBlockMaxima * Part::blocks();
  clear_sums<Part>();
  for (uint32_t i = platform::thread_index(); i < count; i += Part::kThreads) {
    if (intervals.has(s.maxima[i])) add_to_sums<Part>(intervals.number(weights, s.maxima[i]), 1);
  }
  platform::block_barrier();
  const FilterBucket bucket = find_filter_bucket<Part>(k);
  if (!bucket.exists) return draw::infinity();
  float largest_negative = -draw::infinity();
  for (uint32_t i = platform::thread_index(); i < count; i += Part::kThreads) {
    const float x = s.maxima[i];
    if (!intervals.has(x) || intervals.number(weights, x) > bucket.number) continue;
    largest_negative = platform::max_number(largest_negative, -x);
  }
  return -Part::BlockOf::max(largest_negative);
}

// Whether so many of the maxima reach an element that the list has no room for the elements that do.
template <typename Part>
TOKENDRAW_DEVICE bool too_many_reach(float least) {
  const auto& s = Part::shared();
  const uint32_t count = Part::kBlockMaxima * Part::blocks();
  uint32_t reach = 0;
#pragma unroll
  for (uint32_t i = 0; i < Part::kMaxima / Part::kThreads; ++i) {
    const uint32_t at = i * Part::kThreads + platform::thread_index();
    reach += platform::block_count(at < count && s.maxima[at] >= least);
  }
  return reach > kFilterList / 2 || reach > count - count / 4;
}

// The sum of what elements of the block from a key on weigh.
template <typename Part>
TOKENDRAW_DEVICE uint64_t block_mass(const Part& part, const typename Part::Weights& weights, uint64_t from) {
  return Part::BlockOf::sum(sum_kept(part, weights, from, draw::infinity()).mass);
}

// Leaves out of the list what cannot be among the top k; returns how many are left. Has barriers of the block.
template <typename Part>
TOKENDRAW_DEVICE uint32_t keep_top_k(const typename Part::Weights& weights, uint32_t size, uint32_t k) {
  constexpr uint32_t kEach = kFilterList / Part::kThreads;
  constexpr uint32_t kBuckets = Part::kMaxima < Part::kThreads ? Part::kMaxima : Part::kThreads;
  static_assert(kBuckets == Part::kThreads && kEach * Part::kThreads == kFilterList);
  constexpr float kLightest = -64.0f;
  auto& s = Part::shared();
  const uint32_t thread = platform::thread_index();
  platform::block_barrier();
  s.counts[thread] = 0;
  if (thread == 0) s.listed = 0;
  platform::block_barrier();
  uint64_t keys[kEach];
  uint64_t of_keys[kEach];
  uint32_t buckets[kEach];
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t place = i * Part::kThreads + thread;
    keys[i] = place < size ? s.list.keys[place] : 0;
    of_keys[i] = place < size ? s.list.weights[place] : 0;
    float y = weights.exponent(draw::from_ordered_bits(static_cast<uint32_t>(keys[i] >> 21)));
    y = y > kLightest ? y : kLightest;
    buckets[i] = static_cast<uint32_t>(y * (static_cast<float>(kBuckets - 1) / kLightest));
    if (place < size) platform::atomic_add(&s.counts[buckets[i]], 1u);
  }
  platform::block_barrier();
  const uint64_t own = s.counts[thread];
  const auto running = Part::BlockOf::exclusive_sum(own);
  if (running.second < k) return size;
  const uint64_t last = Part::BlockOf::broadcast(running.first < k && k - running.first <= own, thread).first;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (keys[i] == 0 || buckets[i] > last) continue;
    const uint32_t place = platform::atomic_add(&s.listed, 1u);
    s.list.keys[place] = keys[i];
    s.list.weights[place] = of_keys[i];
  }
  platform::block_barrier();
  return s.listed;
}

// By the list, where top_k is on. False if it does not decide; all blocks alike.
template <typename Part>
TOKENDRAW_DEVICE bool filter_by_list(const request::Operation& operation, int64_t row, Part& part,
                                     const typename Part::Weights& weights, const FilterAsked& asked, uint64_t cut_m,
                                     request::FilterCut* cut, int32_t* token) {
  const request::Filter& f = operation.filter;
  const draw::RowParams& params = Part::shared().rule.params;
  const auto k = static_cast<uint32_t>(params.top_k);
  if (!asked.top_k || k > kFilterList / 2) return false;
  float least = element_reached_by<Part>(weights, k);
  // What min_p leaves out is not needed, unless it belongs to the top k that top_p is a share of.
  if (cut_m != 0 && (!params.top_p_on || asked.base_is_row || asked.base_needs_m)) {
    least = platform::max_number(least, FilterTest(cut_m).x);
  }
  if (least == draw::infinity() || too_many_reach<Part>(least)) return false;
  begin_list<Part>();
  part.visit_vectors([&](int32_t id, const float(&x)[Part::kWidth]) {
#pragma unroll
    for (int i = 0; i < Part::kWidth; ++i) {
      if (x[i] >= least && x[i] > -draw::infinity()) list_element<Part>(weights, id + i, x[i]);
    }
  });
  const FilterListed listed = end_list(part, asked.base_is_row ? block_mass(part, weights, 0) : 0);
  uint32_t size = listed.size;
  if (size > kFilterList) return false;
  if (size > kFilterPairs) size = keep_top_k<Part>(weights, size, k);

  // The cuts of top_k and top_p, if they are in the list.
  const uint64_t base_from = asked.base_needs_m ? cut_m : 0;
  uint64_t own_key = 0;
  uint64_t own_mass = 0;
  rank_listed<Part>(size, [&](uint64_t key, uint64_t weight, uint32_t rank, uint64_t) {
    own_key = rank == k - 1 ? key : own_key;
    own_mass += rank < k && key >= base_from ? weight : 0;
  });
  const auto sums = Part::BlockOf::sum_both(own_key, own_mass);
  cut->cut = sums.first > cut_m ? sums.first : cut_m;
  if (params.top_p_on) {
    const uint64_t need = draw::top_p_need(asked.base_is_row ? listed.mass : sums.second, params.top_p);
    own_key = 0;
    rank_listed<Part>(size, [&](uint64_t key, uint64_t weight, uint32_t, uint64_t before) {
      own_key = before < need && need - before <= weight ? key : own_key;
    });
    const uint64_t cut_p = Part::BlockOf::sum(own_key);
    if (cut_p > cut->cut) cut->cut = cut_p;
  }

  // What is kept.
  const auto& list = Part::shared().list;
  own_mass = 0;
  uint64_t own_kept = 0;
  for (uint32_t i = platform::thread_index(); i < size; i += Part::kThreads) {
    if (list.keys[i] < cut->cut) continue;
    own_mass += list.weights[i];
    own_kept += list.weights[i] > 0 ? 1 : 0;
  }
  const auto kept = Part::BlockOf::sum_both(own_mass, own_kept);
  cut->mass = kept.first;
  cut->kept = static_cast<int64_t>(kept.second);
  if (f.tokens == nullptr) return true;
  const uint64_t target = draw::draw_target(request::filter_random(f, row), cut->mass);
  constexpr uint64_t kIds = request::kMaxVocab - 1;  // the low bits, which fall as ids rise
  uint64_t own_id = 0;
  compare_listed<Part>(
      size, [&](uint64_t theirs, uint64_t own) { return theirs >= cut->cut && (theirs & kIds) > (own & kIds); },
      [&](uint64_t key, uint64_t weight, uint32_t, uint64_t before) {
        if (key >= cut->cut && before <= target && target - before < weight) own_id = kIds - (key & kIds);
      });
  *token = static_cast<int32_t>(Part::BlockOf::sum(own_id));
  return true;
}

// The key from which on a row is kept, by search.
template <typename Part>
TOKENDRAW_DEVICE uint64_t search_cut(Part& part, const typename Part::Weights& weights, const FilterAsked& asked,
                                     uint64_t cut_m) {
  const draw::RowParams& params = Part::shared().rule.params;
  uint64_t cut_k = 0;
  if (asked.top_k) {
    const auto k = static_cast<uint64_t>(params.top_k);
    cut_k = find_filter_key(part, weights, FilterMeasure::kCount, [k](uint64_t) { return k; });
  }
  const uint64_t cut = cut_k > cut_m ? cut_k : cut_m;
  if (!params.top_p_on) return cut;
  const uint64_t from = params.base == draw::TopPBase::kAll ? 0 : asked.base_needs_m ? cut : cut_k;
  uint64_t base = 0;
  if (from != 0) base = part.sum_both(sum_kept(part, weights, from, draw::infinity()).mass, 0).first;
  const uint64_t cut_p = find_filter_key(part, weights, FilterMeasure::kMass, [&](uint64_t total) {
    return draw::top_p_need(from == 0 ? total : base, params.top_p);
  });
  return cut_p > cut ? cut_p : cut;
}

// Kept count and mass, and the token, of a cut.
template <typename Part>
TOKENDRAW_DEVICE int32_t finish_filter(const request::Operation& operation, int64_t row, Part& part,
                                       const typename Part::Weights& weights, request::FilterCut* cut) {
  const request::Filter& f = operation.filter;
  const float least = f.kept != nullptr ? smallest_element<Part>(weights, 1) : draw::infinity();
  const FilterKept kept = sum_kept(part, weights, cut->cut, least);
  if (f.tokens == nullptr || f.kept != nullptr) {
    const auto sums = part.sum_both(kept.mass, kept.count);
    cut->mass = sums.first;
    cut->kept = static_cast<int64_t>(sums.second);
  }
  if (f.tokens == nullptr) return -1;
  const FilterTest test(cut->cut);
  const FoundElement found = find_in_order(
      part, kept.mass, [&](uint64_t mass) { return draw::draw_target(request::filter_random(f, row), mass); },
      [&](int32_t id, float x) { return test.keeps(id, x) ? weights.weight(x) : 0; });
  cut->mass = found.total;
  return found.id;
}

}  // namespace tokendraw::gpu
