// SPDX-License-Identifier: Apache-2.0
// From a row's group maxima to its token: one block, the same for rows that it read itself and for rows whose first
// passes were shared by many blocks. The filters are values, as in the contract; a filter that is off always passes.
#pragma once

#include "gpu/kernels/find_cut.h"

namespace tokendraw::gpu {

// log2 of the threads that look at the others of one key
template <typename Row>
inline constexpr uint32_t kPairsShift = Row::kThreads == 4 * kPairwise ? 2 : 1;

// ---- What a row's parameters ask for

TOKENDRAW_DEVICE bool top_k_on(const request::RowInputs& in) { return in.params.top_k < in.vocab; }
TOKENDRAW_DEVICE bool min_p_on(const request::RowInputs& in) { return in.params.min_weight > 0; }
TOKENDRAW_DEVICE bool unfiltered(const request::RowInputs& in) {
  return !top_k_on(in) && !in.params.top_p_on && !min_p_on(in);
}

// Whether top_p is a share of the whole row.
TOKENDRAW_DEVICE bool base_is_row(const request::RowInputs& in) {
  if (in.params.base == draw::TopPBase::kAll) return true;
  return !top_k_on(in) && (in.params.base == draw::TopPBase::kAfterTopK || !min_p_on(in));
}

// Whether the mass of all of the row is needed.
TOKENDRAW_DEVICE bool needs_total(const Settings& settings, const request::RowInputs& in) {
  if (settings.wants_logprob) return true;
  if (in.params.greedy) return false;
  return unfiltered(in) || (in.params.top_p_on && base_is_row(in));
}

// Whether top_p alone decides, in a row that is no list by itself.
template <typename Row>
TOKENDRAW_DEVICE bool searches_top_p(const request::RowInputs& in) {
  return !in.params.greedy && in.params.top_p_on && !top_k_on(in) && !min_p_on(in) &&
         in.vocab > static_cast<int32_t>(list_limit<Row>());
}

// Whether the group maxima bound the top k.
TOKENDRAW_DEVICE bool k_bounds(const request::RowInputs& in, int32_t groups) {
  return top_k_on(in) && in.params.top_k <= groups;
}

TOKENDRAW_DEVICE WeightRule weight_rule(const request::RowInputs& in, float max) {
  return {max, request::logprob_scale(in.params)};
}

// The least weight of the tokens that top_p is a share of, where that is not the whole row.
TOKENDRAW_DEVICE uint64_t base_min_weight(const request::RowInputs& in) {
  return in.params.base == draw::TopPBase::kAfterTopK ? 0 : in.params.min_weight;
}

// ---- Ways to the token. All threads call and get the result.

struct Drawn {
  int32_t token;
  float x;
  int64_t kept;
  uint64_t kept_mass;
  bool sure = true;  // false: an estimate of the total could not decide, and there is no token
};

// What the mass before a token is compared with by top_p, where its base is the row: below `least` it passes, from
// `most` on it does not. Between them, where the total is an estimate, who knows.
struct Need {
  uint64_t least;
  uint64_t most;
};

template <typename Row>
TOKENDRAW_DEVICE Need need_of_row() {
  const auto& s = Row::shared();
  const draw::Fraction top_p = s.inputs.params.top_p;
  return {draw::top_p_need(s.total - s.total_error, top_p), draw::top_p_need(s.total + s.total_error, top_p)};
}

// Where a search begins: the logits from `least` on are top_k, or all that min_p keeps, or more. -inf: nothing is
// known.
struct SearchStart {
  float least = -draw::infinity();
  bool listable = false;  // a list has room for them, or may have
};

// The smallest id among the largest logits.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn take_best() {
  const auto& s = Row::shared();
  const float max = s.rule.max;
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const bool hit = thread < Row::groups() && s.group_max[thread] == max;
  const FoundInRow best = find_in_row<Row>(
      hit ? 1 : 0, [](uint64_t) { return uint64_t{0}; }, [max](int32_t, float y) { return y == max ? 1 : 0; });
  return {best.found.id, best.found.x, 1, draw::kWeightOne};
}

// From the tokens with key >= cut, the group masses being theirs.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_by_group(uint64_t cut) {
  const auto& s = Row::shared();
  int64_t kept = 0;
  if (s.settings.wants_kept) kept = static_cast<int64_t>(count_from<Row>(cut, smallest_weighing<Row>(s.rule, 1)));
  const WeightRule rule = s.rule;
  const uint64_t random = s.inputs.random;
  const FoundInRow drawn = find_in_row<Row>(
      Row::mass_of_own_group(), [random](uint64_t mass) { return draw::draw_target(random, mass); },
      [rule, cut](int32_t id, float y) {
        return draw::rank_key(y, static_cast<uint32_t>(id)) >= cut ? rule.weight(y) : 0;
      });
  return {drawn.found.id, drawn.found.x, kept, drawn.total};
}

// From the sorted list's first n keys, whose mass is given.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_from_list(uint32_t n, uint64_t mass) {
  auto& s = Row::shared();
  const WeightRule rule = s.rule;
  // A key with its halves exchanged orders by id.
  platform::block_barrier();
  for (uint32_t i = platform::thread_index(); i < n; i += Row::kThreads) s.keys[i] = s.keys[i] << 32 | s.keys[i] >> 32;
  block_sort_descending<Row, Row::kThreads, Row::kWave>(n);
  const auto logit = [](uint64_t key) { return draw::from_ordered_bits(static_cast<uint32_t>(key)); };
  const uint64_t target = draw::draw_target(s.inputs.random, mass);
  const uint32_t each = (n + Row::kThreads - 1) / Row::kThreads;
  const uint32_t first = platform::thread_index() * each;
  uint64_t own = 0;
  for (uint32_t i = first; i < first + each && i < n; ++i) own += rule.weight(logit(s.keys[i]));
  uint64_t running = Row::BlockOf::exclusive_sum(own).first;
  const bool mine = running <= target && target - running < own;
  uint64_t found = 0;
  for (uint32_t i = first; mine && i < first + each && i < n && running <= target; ++i) {
    running += rule.weight(logit(s.keys[i]));
    found = s.keys[i];
  }
  found = Row::BlockOf::broadcast(mine, found).first;
  return {static_cast<int32_t>(~static_cast<uint32_t>(found >> 32)), logit(found), 0, mass};
}

// From the n candidates in the list, n <= kPairwise: a few threads for each key look at all the others, which gives its
// rank and the mass before it; what is kept of the keys by rank is looked at once more for the order of ids.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_from_pairs(uint32_t n) {
  constexpr int kWave = Row::kWave;
  constexpr uint32_t kAtOnce = 4;
  static_assert(4 * kPairwise <= kListRoom<Row::kListCapacity>);
  auto& s = Row::shared();
  const draw::RowParams& params = s.inputs.params;
  uint64_t* ranked = s.keys + kPairwise;         // the keys by rank
  uint64_t* weights = s.keys + 2 * kPairwise;    // of the list's keys,
  uint64_t* ranked_to = s.keys + 3 * kPairwise;  // and by rank the mass up to a key, itself included
  const uint32_t thread = platform::thread_index();
  const uint32_t parts_shift = n <= kPairwise / 2 ? kPairsShift<Row> + 1 : kPairsShift<Row>;
  const uint32_t parts = 1u << parts_shift;  // threads of one key; neighbours in a warp
  platform::block_barrier();
  if (thread < kPairwise) {
    weights[thread] = thread < n ? s.rule.weight(draw::rank_key_logit(s.keys[thread])) : 0;
    if (thread >= n) s.keys[thread] = 0;
  }
  platform::block_barrier();

  const uint32_t own = thread >> parts_shift;
  const uint32_t part = thread & (parts - 1);
  const uint64_t key = s.keys[own];
  const uint64_t weight = weights[own];
  uint32_t rank = 0;
  uint64_t before = 0;
  for (uint32_t begin = part; begin < n; begin += kAtOnce * parts) {
#pragma unroll
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      const uint32_t j = (begin + i * parts) & (kPairwise - 1);
      const bool earlier = s.keys[j] > key && begin + i * parts < n;
      rank += earlier ? 1 : 0;
      before += earlier ? weights[j] : 0;
    }
  }
  for (uint32_t mask = 1; mask < parts; mask *= 2) {
    rank += platform::warp_shuffle_xor<kWave>(rank, mask);
    before += platform::warp_shuffle_xor<kWave>(before, mask);
  }
  const bool first = part == 0 && own < n;
  if (first) {
    ranked[rank] = key;
    ranked_to[rank] = before + weight;
  }
  const bool in_k = own < n && rank < static_cast<uint32_t>(params.top_k);
  Need need = {~uint64_t{0}, ~uint64_t{0}};
  if (params.top_p_on && base_is_row(s.inputs)) {
    need = need_of_row<Row>();
  } else if (params.top_p_on) {
    const uint32_t size = platform::block_count(first && in_k && weight >= base_min_weight(s.inputs));
    need.least = need.most = draw::top_p_need(ranked_to[size - 1], params.top_p);
  }
  const bool passes = in_k && weight >= params.min_weight;
  const bool kept = passes && before < need.least;
  const bool unsure = need.least < need.most && platform::block_any(first && passes && !kept && before < need.most);
  const uint32_t size = platform::block_count(first && kept);  // at least the heaviest is
  const uint64_t mass = ranked_to[size - 1];
  int64_t weighing = 0;
  if (s.settings.wants_kept) weighing = platform::block_count(first && kept && weight > 0);

  // The draw: the order of ids is that of the keys' low halves, backwards.
  const uint64_t target = draw::draw_target(s.inputs.random, mass);
  uint64_t running = 0;
  for (uint32_t j = part; j < size; j += parts) {
    const uint64_t own_weight = ranked_to[j] - (j > 0 ? ranked_to[j - 1] : 0);
    running += static_cast<uint32_t>(ranked[j]) > static_cast<uint32_t>(key) ? own_weight : 0;
  }
  for (uint32_t mask = 1; mask < parts; mask *= 2) running += platform::warp_shuffle_xor<kWave>(running, mask);
  const bool mine = first && kept && running <= target && target - running < weight;
  const uint64_t drawn = Row::BlockOf::broadcast(mine, key).first;
  return {static_cast<int32_t>(draw::rank_key_id(drawn)), draw::rank_key_logit(drawn), weighing, mass, !unsure};
}

// From the n candidates in the list, any number of them.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_from_sorted(uint32_t n) {
  auto& s = Row::shared();
  const draw::RowParams& params = s.inputs.params;
  block_sort_descending<Row, Row::kThreads, Row::kWave>(n);
  const auto k = static_cast<uint64_t>(params.top_k);
  Need need = {~uint64_t{0}, ~uint64_t{0}};
  if (params.top_p_on && base_is_row(s.inputs)) {
    need = need_of_row<Row>();
  } else if (params.top_p_on) {
    const uint64_t base = prefix_of_list<Row>(n, k, base_min_weight(s.inputs), ~uint64_t{0}).mass;
    need.least = need.most = draw::top_p_need(base, params.top_p);
  }
  const Prefix kept = prefix_of_list<Row>(n, k, params.min_weight, need.least);
  const bool sure =
      need.least == need.most || prefix_of_list<Row>(n, k, params.min_weight, need.most).size == kept.size;
  Drawn drawn = draw_from_list<Row>(kept.size, kept.mass);
  drawn.kept = kept.weighing;
  drawn.sure = sure;
  return drawn;
}

// By candidates: the few logits above a sure threshold decide. False if they cannot, or an estimate of the total
// cannot; *start becomes where a search may begin then.
template <typename Row>
TOKENDRAW_DEVICE_CALL bool draw_from_candidates(Drawn* drawn, SearchStart* start) {
  auto& s = Row::shared();
  const request::RowInputs& in = s.inputs;
  float threshold = -draw::infinity();
  bool by_k = top_k_on(in);
  bool collected = false;
  if constexpr (Row::kIsOfMany) {
    collected = s.collected != 0;
    platform::block_barrier();
    if (platform::thread_index() == 0) s.collected = 0;  // the list serves once
  }
  if (!collected && in.vocab > static_cast<int32_t>(list_limit<Row>())) {
    // A base of top_k alone needs all of its tokens, whatever min_p says of them.
    const bool base_needs_k = in.params.top_p_on && in.params.base == draw::TopPBase::kAfterTopK && top_k_on(in);
    by_k = k_bounds(in, Row::groups());
    const bool by_m = min_p_on(in) && !base_needs_k;
    if (!by_k && !by_m) return false;
    if (by_k) threshold = threshold_of_maxima<Row>(in.params.top_k);
    if (by_m) threshold = platform::max_number(threshold, smallest_weighing<Row>(s.rule, in.params.min_weight));
    *start = {threshold, false};
  }
  uint32_t n = collected ? s.listed : gather<Row>(threshold, draw::infinity());
  if (n > list_limit<Row>()) return false;
  if (n > kPairwise && by_k) n = keep_top_k<Row>(n, s.rule.max, in.params.top_k, &threshold);
  *drawn = n <= kPairwise ? draw_from_pairs<Row>(n) : draw_from_sorted<Row>(n);
  return drawn->sure;
}

// The cut of all filters, by search; the group masses become those of what it keeps.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t cut_by_search(SearchStart start) {
  auto& s = Row::shared();
  const request::RowInputs& in = s.inputs;
  const bool listable = fits_list<Row>(s.reader.vocab());
  uint64_t cut_k = 0;
  if (top_k_on(in)) {
    const auto k = static_cast<uint64_t>(in.params.top_k);
    cut_k = find_cut<Row>(Measure::kCount, k, start.least, listable || start.listable);
  }
  uint64_t cut = cut_k;
  if (min_p_on(in)) {
    const uint64_t cut_m = draw::rank_key(smallest_weighing<Row>(s.rule, in.params.min_weight), ~uint32_t{0});
    if (cut_m > cut) cut = cut_m;
  }
  if (in.params.top_p_on) {
    const uint64_t base_cut = in.params.base == draw::TopPBase::kAfterTopK ? cut_k : cut;
    uint64_t base = s.total;
    if (!base_is_row(in)) {
      sum_all_masses<Row>(base_cut);
      base = Row::Team::sum(Row::mass_of_own_group());
    }
    // Below the others' cut nothing is kept.
    const float from = cut_k > 0 ? draw::rank_key_logit(cut) : -draw::infinity();
    const uint64_t need = draw::top_p_need(base, in.params.top_p);
    const uint64_t cut_p = find_cut<Row>(Measure::kMass, need, from, listable || cut_k > 0);
    if (cut_p > cut) cut = cut_p;
  }
  sum_all_masses<Row>(cut);
  return cut;
}

// Keeps the row's rule for all threads.
template <typename Row>
TOKENDRAW_DEVICE void keep_rule(float max) {
  auto& s = Row::shared();
  if (platform::thread_index() == 0) s.rule = weight_rule(s.inputs, max);
  platform::block_barrier();
}

// The same for the row's mass, from the group masses.
template <typename Row>
TOKENDRAW_DEVICE void keep_total() {
  const uint64_t total = Row::Team::sum(Row::mass_of_own_group());
  if (platform::thread_index() == 0) {
    Row::shared().total = total;
    Row::shared().total_error = 0;
  }
  platform::block_barrier();
}

// Draws from a row whose rule is known and, where it is needed, whose total; without a filter its group masses too.
// `cut`: 0, or the row's, where it is known, and the group masses those of what it keeps.
template <typename Row>
TOKENDRAW_DEVICE Drawn draw_row(uint64_t cut, SearchStart start) {
  const auto& s = Row::shared();
  if (s.inputs.params.greedy) return take_best<Row>();
  if (cut == 0 && !unfiltered(s.inputs)) {
    if constexpr (!Row::Team::kIsCluster) {  // a cluster has tried them
      Drawn drawn;
      if (s.settings.try_candidates && draw_from_candidates<Row>(&drawn, &start)) return drawn;
    }
    cut = cut_by_search<Row>(start);
  }
  return draw_by_group<Row>(cut);
}

// A row's answer from what was drawn, for thread 0.
template <typename Row>
TOKENDRAW_DEVICE request::RowResult result_of(const Drawn& drawn, uint32_t status) {
  const auto& s = Row::shared();
  request::RowResult result;
  result.status = status;
  result.token = drawn.token;
  result.kept = drawn.kept;
  result.kept_mass = drawn.kept_mass;
  if (s.settings.wants_logprob && platform::thread_index() == 0) {
    result.logprob = request::log_probability(s.inputs, drawn.x, s.rule.max, s.total);
  }
  return result;
}

}  // namespace tokendraw::gpu
