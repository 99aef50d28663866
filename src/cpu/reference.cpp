// SPDX-License-Identifier: Apache-2.0
#include "cpu/reference.h"

#include <algorithm>
#include <cassert>
#include <functional>

#include "draw/effective_logit.h"
#include "draw/rank_key.h"
#include "draw/rejection.h"

namespace tokendraw::cpu {
namespace {

// Whether entry j is ignored: its id lies outside the vocabulary or stands in the list before.
bool ignored_entry(const ListSlice& list, int64_t j, int32_t vocab) {
  const int32_t id = list.ids[j];
  return id < 0 || id >= vocab || std::find(list.ids, list.ids + j, id) != list.ids + j;
}

// Section 1. Returns the status bits it set.
uint32_t make_effective(const RowInputs& inputs, float* x) {
  bool nan = false;
  uint32_t status = 0;
  for (int32_t id = 0; id < inputs.vocab; ++id) {
    x[id] = draw::nan_to_minus_infinity(stored_logit(inputs, id), nan);
    const bool forbidden = inputs.mask != nullptr && (inputs.mask[id / 32] >> (id % 32) & 1u) == 0;
    if (forbidden) x[id] = -draw::infinity();
    if (inputs.bias != nullptr) x[id] = draw::apply_bias(x[id], inputs.bias[id]);
  }
  for (int64_t j = 0; j < inputs.bias_list.size; ++j) {
    if (ignored_entry(inputs.bias_list, j, inputs.vocab)) {
      status |= draw::kBadId;
      continue;
    }
    float& logit = x[inputs.bias_list.ids[j]];
    logit = draw::apply_bias(logit, inputs.bias_list.values[j]);
  }
  for (int64_t j = 0; j < inputs.history.size; ++j) {
    if (ignored_entry(inputs.history, j, inputs.vocab)) {
      status |= draw::kBadId;
      continue;
    }
    float& logit = x[inputs.history.ids[j]];
    const int32_t count = inputs.history.counts != nullptr ? inputs.history.counts[j] : 1;
    logit = draw::apply_penalties(logit, inputs.penalties, count);
  }
  for (int32_t id = 0; id < inputs.vocab; ++id) x[id] = draw::finish_effective(x[id], nan);
  return status | (nan ? draw::kNanLogit : 0u);
}

// A row in its order.
struct SortedRow {
  const float* x;     // by id
  uint64_t* keys;     // by rank
  uint64_t* weights;  // by rank
  int32_t vocab;
  float max;
};

// Sections 2 and 4. Precondition: the row's largest effective logit is not -inf.
SortedRow sort_row(const RowInputs& inputs, float scale, const ReferenceScratch& scratch) {
  SortedRow row = {scratch.effective, scratch.keys, scratch.weights, inputs.vocab, 0};
  for (int32_t id = 0; id < row.vocab; ++id) row.keys[id] = draw::rank_key(row.x[id], static_cast<uint32_t>(id));
  std::sort(row.keys, row.keys + row.vocab, std::greater<uint64_t>());
  row.max = draw::rank_key_logit(row.keys[0]);
  for (int32_t rank = 0; rank < row.vocab; ++rank) {
    row.weights[rank] = draw::weight(draw::rank_key_logit(row.keys[rank]), row.max, scale);
  }
  return row;
}

// Section 5: the number of ranks kept, a prefix of the order. *need: what top_p compares the mass before a token with.
int32_t kept_ranks(const SortedRow& row, const draw::RowParams& params, uint64_t* need) {
  const auto in_k = [&](int32_t rank) { return rank < params.top_k; };
  const auto in_m = [&](int32_t rank) { return row.weights[rank] >= params.min_weight; };
  *need = ~uint64_t{0};
  if (params.top_p_on) {
    uint64_t base_mass = 0;
    for (int32_t rank = 0; rank < row.vocab; ++rank) {
      const bool in_base = params.base == draw::TopPBase::kAll         ? true
                           : params.base == draw::TopPBase::kAfterTopK ? in_k(rank)
                                                                       : in_k(rank) && in_m(rank);
      if (in_base) base_mass += row.weights[rank];
    }
    *need = draw::top_p_need(base_mass, params.top_p);
  }
  int32_t kept = 0;
  uint64_t mass_before = 0;
  while (kept < row.vocab && in_k(kept) && in_m(kept) && mass_before < *need) mass_before += row.weights[kept++];
  return kept;
}

float row_logprob(const RowInputs& inputs, int32_t token, const float* x, float max) {
  const float scale = logprob_scale(inputs.params);
  uint64_t total = 0;
  for (int32_t id = 0; id < inputs.vocab; ++id) total += draw::weight(x[id], max, scale);
  return log_probability(inputs, x[token], max, total);
}

// What both algorithms start with. False: *result is the whole answer, or (greedy) all but its log-probability.
bool begin_row(const RowInputs& inputs, const ReferenceScratch& scratch, SortedRow* row, RowResult* result) {
  result->status = make_effective(inputs, scratch.effective);
  if (*std::max_element(scratch.effective, scratch.effective + inputs.vocab) == -draw::infinity()) {
    result->status |= draw::kNoCandidate;
    return false;
  }
  *row = sort_row(inputs, logprob_scale(inputs.params), scratch);  // the scale of a greedy row may be infinite
  if (!inputs.params.greedy) return true;
  result->token = static_cast<int32_t>(draw::rank_key_id(row->keys[0]));
  result->kept = 1;
  result->kept_mass = draw::kWeightOne;
  return false;
}

// The number and the mass of the kept tokens; a weight of 0 does not count.
void count_kept(const SortedRow& row, int32_t kept, RowResult* result) {
  for (int32_t rank = 0; rank < kept; ++rank) {
    result->kept += row.weights[rank] > 0 ? 1 : 0;
    result->kept_mass += row.weights[rank];
  }
}

// Section 8: whether a token with key q would be kept.
bool valid_key(const SortedRow& row, const draw::RowParams& params, uint64_t need, uint64_t q) {
  int32_t rank = 0;
  uint64_t mass_before = 0;
  while (rank < row.vocab && row.keys[rank] > q) mass_before += row.weights[rank++];
  // A q above the row's largest logit weighs at least as much as that, so it reaches every min_p.
  const uint32_t logit_bits = static_cast<uint32_t>(q >> 32);
  const bool reaches_min_p =
      logit_bits >= draw::ordered_bits(row.max) ||
      draw::weight(draw::from_ordered_bits(logit_bits), row.max, params.scale) >= params.min_weight;
  return rank < params.top_k && mass_before < need && reaches_min_p;
}

// The smallest id with key > low whose running weight in id order exceeds the target; -1 if there is none.
int32_t draw_above(const SortedRow& row, float scale, uint64_t low, uint64_t random_of_round) {
  const auto weight_above = [&](int32_t id) {
    return draw::rank_key(row.x[id], static_cast<uint32_t>(id)) > low ? draw::weight(row.x[id], row.max, scale) : 0;
  };
  uint64_t mass = 0;
  for (int32_t id = 0; id < row.vocab; ++id) mass += weight_above(id);
  const uint64_t target = draw::draw_target(random_of_round, mass);
  uint64_t running = 0;
  for (int32_t id = 0; id < row.vocab; ++id) {
    running += weight_above(id);
    if (running > target) return id;
  }
  return -1;
}

}  // namespace

RowResult reference_row(const RowInputs& inputs, bool wants_logprob, const ReferenceScratch& scratch) {
  RowResult result;
  SortedRow row = {};
  if (begin_row(inputs, scratch, &row, &result)) {
    uint64_t need = 0;
    const int32_t kept = kept_ranks(row, inputs.params, &need);
    count_kept(row, kept, &result);

    // Section 7: the kept tokens in id order.
    const uint64_t target = draw::draw_target(inputs.random, result.kept_mass);
    const uint64_t cut = row.keys[kept - 1];
    uint64_t running = 0;
    for (int32_t id = 0; id < row.vocab && running <= target; ++id) {
      if (draw::rank_key(row.x[id], static_cast<uint32_t>(id)) < cut) continue;
      running += draw::weight(row.x[id], row.max, inputs.params.scale);
      result.token = id;
    }
  }
  if (wants_logprob && result.has_token()) result.logprob = row_logprob(inputs, result.token, row.x, row.max);
  return result;
}

RowResult reference_rejection_row(const RowInputs& inputs, bool wants_logprob, const ReferenceScratch& scratch) {
  RowResult result;
  SortedRow row = {};
  if (begin_row(inputs, scratch, &row, &result)) {
    uint64_t need = 0;
    count_kept(row, kept_ranks(row, inputs.params, &need), &result);
    draw::RejectionInterval interval;
    for (bool accepted = false; !accepted; ++result.rounds) {
      assert(result.rounds < draw::kMaxRejectionRounds);
      const uint64_t random = draw::random_bits(inputs.seed, inputs.stream, inputs.offset,
                                                draw::kPurposeRejection + static_cast<uint32_t>(result.rounds));
      result.token = draw_above(row, inputs.params.scale, interval.low, random);
      const uint64_t pivot1 = draw::rank_key(row.x[result.token], static_cast<uint32_t>(result.token));
      const uint64_t pivot2 = draw::second_pivot(interval, pivot1);
      accepted = valid_key(row, inputs.params, need, pivot1);
      if (!accepted) {
        interval = draw::narrow_interval(interval, pivot1, pivot2, valid_key(row, inputs.params, need, pivot2));
      }
    }
  }
  if (wants_logprob && result.has_token()) result.logprob = row_logprob(inputs, result.token, row.x, row.max);
  return result;
}

}  // namespace tokendraw::cpu
