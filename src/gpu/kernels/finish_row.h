// SPDX-License-Identifier: Apache-2.0
// From a row's group maxima to its token: one block, the same for rows that it read itself and for rows whose first
// passes were shared by many blocks. The filters are values, as in the contract; a filter that is off always passes.
#pragma once

#include "gpu/kernels/find_cut.h"

namespace tokendraw::gpu {

// Where top_p alone decides, the candidates of so many groups usually hold the nucleus.
inline constexpr int32_t kGuessedGroups = 128;

template <request::Dtype kDtype, bool kEdited, int kWave>
class FinishRow {
 public:
  using Work = RowWork<kDtype, kEdited, kWave>;

  TOKENDRAW_DEVICE FinishRow(const Arguments& a, Work& work)
      : a_(a), w_(work), in_(work.s.inputs), vocab_(a.request.vocab) {}

  // s.inputs, s.group_max and the largest logit are known to all threads, for parameters that are valid.
  // masses_known: s.group_mass too, by weight_rule(). Thread 0 gets the result.
  TOKENDRAW_DEVICE request::RowResult run(float max, uint32_t status, bool masses_known) {
    request::RowResult result;
    result.status = status;
    if (max == -draw::infinity()) {
      result.status |= draw::kNoCandidate;
      return result;
    }
    rule_ = weight_rule(a_, in_, max);
    if (needs_total(a_, in_)) {
      total_ = masses_known ? w_.block.sum(w_.mass_of_own_group()) : w_.sum_all_masses(rule_, 0);
    }
    if (in_.params.greedy) {
      take_best(&result);
    } else if (unfiltered(in_, vocab_)) {
      if (a_.request.kept != nullptr) {
        result.kept = static_cast<int64_t>(w_.count_from(0, smallest_weighing<kWave>(rule_, 1)));
      }
      draw_by_group(0, total_, &result);
    } else if (!(a_.try_candidates && draw_from_candidates(&result))) {
      draw_by_search(&result);
    }
    if (a_.wants_logprob) result.logprob = request::log_probability(in_, token_x_, max, total_);
    return result;
  }

  TOKENDRAW_DEVICE static WeightRule weight_rule(const Arguments&, const request::RowInputs& in, float max) {
    return {max, in.params.greedy ? request::logprob_scale(in.params) : in.params.scale};
  }

  // Whether the mass of all of the row is needed.
  TOKENDRAW_DEVICE static bool needs_total(const Arguments& a, const request::RowInputs& in) {
    if (a.wants_logprob) return true;
    if (in.params.greedy) return false;
    return unfiltered(in, a.request.vocab) || (in.params.top_p_on && base_is_row(in, a.request.vocab));
  }

 private:
  TOKENDRAW_DEVICE static bool top_k_on(const request::RowInputs& in, int32_t vocab) { return in.params.top_k < vocab; }
  TOKENDRAW_DEVICE static bool min_p_on(const request::RowInputs& in) { return in.params.min_weight > 0; }
  TOKENDRAW_DEVICE static bool unfiltered(const request::RowInputs& in, int32_t vocab) {
    return !top_k_on(in, vocab) && !in.params.top_p_on && !min_p_on(in);
  }
  // Whether top_p is a share of the whole row.
  TOKENDRAW_DEVICE static bool base_is_row(const request::RowInputs& in, int32_t vocab) {
    if (in.params.base == draw::TopPBase::kAll) return true;
    return !top_k_on(in, vocab) && (in.params.base == draw::TopPBase::kAfterTopK || !min_p_on(in));
  }

  TOKENDRAW_DEVICE void take(int32_t id, float x, request::RowResult* result) {
    result->token = id;
    token_x_ = x;
  }

  // The smallest id among the largest logits.
  TOKENDRAW_DEVICE void take_best(request::RowResult* result) {
    const float max = rule_.max;
    const auto thread = static_cast<int32_t>(platform::thread_index());
    const bool hit = thread < w_.groups() && w_.s.group_max[thread] == max;
    uint64_t total = 0;
    const bool mine = w_.block.exclusive_sum(hit ? 1 : 0, &total) == 0 && hit;
    const auto group = static_cast<int32_t>(w_.block.broadcast(mine, platform::thread_index()));
    int32_t id = 0;
    float x = 0;
    w_.find_in_group(
        group, 0, [max](int32_t, float y) { return y == max ? 1 : 0; }, &id, &x);
    take(id, x, result);
    result->kept = 1;
    result->kept_mass = draw::kWeightOne;
  }

  // ---- By candidates: the few logits above a threshold decide

  // True if they could.
  TOKENDRAW_DEVICE bool draw_from_candidates(request::RowResult* result) {
    const draw::RowParams& params = in_.params;
    const bool k_on = top_k_on(in_, vocab_);
    const bool row_is_base = base_is_row(in_, vocab_);
    // A base of top_k alone needs all of its tokens, whatever min_p says of them.
    const bool base_needs_k = params.top_p_on && params.base == draw::TopPBase::kAfterTopK && k_on;
    const bool few = vocab_ <= kListCapacity;
    float threshold = -draw::infinity();
    bool sure = few;  // the candidates are all that top_k and min_p keep
    if (!few) {
      const bool k_bounds = k_on && params.top_k <= w_.groups();
      const bool m_bounds = min_p_on(in_) && !base_needs_k;
      if (!k_bounds && !m_bounds && !(params.top_p_on && row_is_base)) return false;
      if (k_bounds || !m_bounds) {
        w_.sort_group_maxima();
        const int32_t guessed = w_.groups() < kGuessedGroups ? w_.groups() : kGuessedGroups;
        threshold = draw::rank_key_logit(w_.s.keys[(k_bounds ? params.top_k : guessed) - 1]);
      }
      if (m_bounds) {
        threshold = platform::max_number(threshold, smallest_weighing<kWave>(rule_, params.min_weight));
      }
      sure = k_bounds || m_bounds;
    }
    const uint32_t n = w_.gather(threshold, draw::infinity());
    if (n > kListCapacity) return false;
    block_sort_descending<kThreads, kWave>(w_.s.keys, n);

    uint64_t need = ~uint64_t{0};
    const auto k = static_cast<uint64_t>(params.top_k);
    if (params.top_p_on) {
      const uint64_t min_weight = params.base == draw::TopPBase::kAfterTopK ? 0 : params.min_weight;
      const uint64_t base = row_is_base ? total_ : prefix_of_list(w_, rule_, n, k, min_weight, ~uint64_t{0}).mass;
      need = draw::top_p_need(base, params.top_p);
    }
    const Prefix kept = prefix_of_list(w_, rule_, n, k, params.min_weight, need);
    if (!sure && kept.size == n && kept.mass < need) return false;  // the nucleus goes on below the threshold
    result->kept = kept.weighing;
    result->kept_mass = kept.mass;
    draw_from_list(kept.size, kept.mass, result);
    return true;
  }

  // From the sorted s.keys[0..n), whose mass is given.
  TOKENDRAW_DEVICE void draw_from_list(uint32_t n, uint64_t mass, request::RowResult* result) {
    uint64_t* keys = w_.s.keys;
    if (n == 1) return take(static_cast<int32_t>(draw::rank_key_id(keys[0])), draw::rank_key_logit(keys[0]), result);
    // A key with its halves exchanged orders by id.
    platform::block_barrier();
    for (uint32_t i = platform::thread_index(); i < n; i += kThreads) keys[i] = keys[i] << 32 | keys[i] >> 32;
    block_sort_descending<kThreads, kWave>(keys, n);
    const auto logit = [](uint64_t key) { return draw::from_ordered_bits(static_cast<uint32_t>(key)); };
    const uint64_t target = draw::draw_target(in_.random, mass);
    const uint32_t each = (n + kThreads - 1) / kThreads;
    const uint32_t first = platform::thread_index() * each;
    uint64_t own = 0;
    for (uint32_t i = first; i < first + each && i < n; ++i) own += rule_.weight(logit(keys[i]));
    uint64_t total = 0;
    uint64_t running = w_.block.exclusive_sum(own, &total);
    const bool mine = running <= target && target - running < own;
    uint64_t found = 0;
    for (uint32_t i = first; mine && i < first + each && i < n && running <= target; ++i) {
      running += rule_.weight(logit(keys[i]));
      found = keys[i];
    }
    found = w_.block.broadcast(mine, found);
    take(static_cast<int32_t>(~static_cast<uint32_t>(found >> 32)), logit(found), result);
  }

  // ---- By search

  TOKENDRAW_DEVICE void draw_by_search(request::RowResult* result) {
    const draw::RowParams& params = in_.params;
    uint64_t cut_k = 0;
    if (top_k_on(in_, vocab_)) {
      cut_k = find_cut<kWave>(w_, rule_, Measure::kCount, static_cast<uint64_t>(params.top_k));
    }
    uint64_t cut = cut_k;
    if (min_p_on(in_)) {
      const uint64_t cut_m = draw::rank_key(smallest_weighing<kWave>(rule_, params.min_weight), ~uint32_t{0});
      if (cut_m > cut) cut = cut_m;
    }
    if (params.top_p_on) {
      const uint64_t base_cut = params.base == draw::TopPBase::kAfterTopK ? cut_k : cut;
      const uint64_t base = base_is_row(in_, vocab_) ? total_ : w_.sum_all_masses(rule_, base_cut);
      const uint64_t cut_p = find_cut<kWave>(w_, rule_, Measure::kMass, draw::top_p_need(base, params.top_p));
      if (cut_p > cut) cut = cut_p;
    }
    if (a_.request.kept != nullptr) {
      result->kept = static_cast<int64_t>(w_.count_from(cut, smallest_weighing<kWave>(rule_, 1)));
    }
    const uint64_t mass = w_.sum_all_masses(rule_, cut);
    draw_by_group(cut, mass, result);
  }

  // From the tokens with key >= cut, s.group_mass being their mass by group.
  TOKENDRAW_DEVICE void draw_by_group(uint64_t cut, uint64_t mass, request::RowResult* result) {
    result->kept_mass = mass;
    uint64_t target = draw::draw_target(in_.random, mass);
    const int32_t group = w_.find_group(&target);
    const WeightRule rule = rule_;
    int32_t id = 0;
    float x = 0;
    w_.find_in_group(
        group, target,
        [rule, cut](int32_t i, float y) {
          return draw::rank_key(y, static_cast<uint32_t>(i)) >= cut ? rule.weight(y) : 0;
        },
        &id, &x);
    take(id, x, result);
  }

  const Arguments& a_;
  Work& w_;
  const request::RowInputs& in_;
  int32_t vocab_;
  WeightRule rule_ = {0, 0};
  uint64_t total_ = 0;
  float token_x_ = 0;
};

}  // namespace tokendraw::gpu
