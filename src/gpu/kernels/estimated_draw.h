// SPDX-License-Identifier: Apache-2.0
// The token of a row whose masses were estimated in its first read, where how far the estimates may be off
// (mass_estimate.h) cannot change it. Almost always, then, a row whose total is needed is read once.
#pragma once

#include "gpu/kernels/finish_row.h"
#include "gpu/kernels/first_read.h"

namespace tokendraw::gpu {

// Whether the first read of a row is to estimate what its groups weigh: where the total is needed for what comes after,
// and neither it nor what an unfiltered row keeps is asked for itself. top_p alone needs sums by logit, and so more
// reads in any case. Unfiltered rows, of which some are read once more, only where they are many.
template <typename Row>
TOKENDRAW_DEVICE bool may_estimate(const Settings& settings, const request::RowInputs& in) {
  if (!settings.try_candidates || settings.wants_logprob || !needs_total(settings, in)) return false;
  if (unfiltered(in)) return Row::kIsOfMany && !settings.wants_kept && !settings.wants_kept_mass;
  return !searches_top_p<Row>(in);
}

// Whether the first read is to list what may be among the top k: few enough for the lanes' largest logits to say where
// they begin, of a row that is no list by itself.
template <typename Row>
TOKENDRAW_DEVICE bool may_collect(const Settings& settings, const request::RowInputs& in) {
  return Row::kIsOfMany && settings.try_candidates && !in.params.greedy && top_k_on(in) &&
         2 * in.params.top_k <= Row::kThreads && !fits_list<Row>(in.vocab);
}

// What a row's group masses, in the contract's units, may be off by while they are estimates. A total of 0: they are of
// no use.
struct RowEstimate {
  uint64_t total;
  uint64_t alike;      // by all of it together, if it is a share that all have alike,
  uint64_t apart;      // and by what some have at the cost of others
  uint64_t own_error;  // by both, of the group with this thread's number
};

// Less than a unit of each weight is cut off, and of what is converted.
template <typename Row>
TOKENDRAW_DEVICE uint64_t cut_off() {
  return 2 * static_cast<uint64_t>(Row::shared().reader.vocab() + Row::kMaxGroups);
}

// The group estimates become masses, the row's rule being known. All threads get the result.
template <typename Row>
TOKENDRAW_DEVICE_CALL RowEstimate keep_estimates() {
  auto& s = Row::shared();
  const WeightRule rule = s.rule;
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const float reference = reference_of(rule.max, rule.scale);
  const float of_each = share_of_each(additions_of_group<Row>(s.settings.group_lines));
  const float group_bits =
      log2_near(static_cast<uint32_t>(s.settings.group_lines * Row::Reader::kLine)) + kWeightBits + 0.1f;
  RowEstimate row = {};
  uint64_t mass = 0;
  uint64_t apart = 0;
  if (!are_estimable(rule.max, rule.scale, reference)) return row;
  const uint64_t factor = factor_above(rule.max, rule.scale, reference);
  bool bad = false;
  if (thread < Row::groups()) {
    const GroupEstimate group = GroupEstimate::unpack(s.group_mass[thread]);
    bad = !draw::is_finite(group.sum);
    if (!bad) {
      mass = draw::mul_high(group.in_units_of(static_cast<int32_t>(reference) - kWeightBits), factor) << 1;
      const float bits = mass > 0 ? group_bits - log2_near(mass) : 0.0f;
      const float overshoot = draw::fma_rn(s.group_max[thread], rule.scale, -static_cast<float>(group.reference));
      apart = share_of(mass, share_of_exponents(bits, overshoot));
    }
    s.group_mass[thread] = mass;
    row.own_error = apart + share_of(mass, of_each);
  }
  if (platform::block_any(bad)) return row;
  const auto sums = Row::BlockOf::sum_both(mass, apart);
  row.total = sums.first;
  row.alike = share_of(sums.first, of_each);
  row.apart = sums.second + cut_off<Row>();
  return row;
}

// Where a running sum at `distance` from the ends of a token's interval could not tell: takes the exact masses of the
// groups that are off by most, so that the others together are off by less. False if that is most of the row; else *off
// becomes by how much the sums are off still.
template <typename Row>
TOKENDRAW_DEVICE_CALL bool refine_estimates(uint64_t distance, uint64_t own_error, uint64_t* off) {
  auto& s = Row::shared();
  const auto thread = static_cast<int32_t>(platform::thread_index());
  if (distance <= 2 * cut_off<Row>()) return false;
  const uint64_t most = distance - cut_off<Row>();
  uint64_t limit = most / 4;
  uint64_t rest = Row::BlockOf::sum(own_error < limit ? own_error : 0);
  while (rest > most && limit > 0) {
    limit /= 4;
    rest = Row::BlockOf::sum(own_error < limit ? own_error : 0);
  }
  const bool heavy = thread < Row::groups() && own_error >= limit;
  if (thread < Row::groups()) s.inside[thread] = heavy ? 1 : 0;
  if (4 * static_cast<int32_t>(platform::block_count(heavy)) > 3 * Row::groups()) return false;
  const WeightRule rule = s.rule;
  GroupSums<Row> sums(s.group_mass);
  const auto is_heavy = [](int32_t group) { return Row::shared().inside[group] != 0; };
  visit_needed_batches<Row>(0, Row::groups(), is_heavy, [&](const LineBatch<Row>& batch) {
    ThreadMass<Row::kWave> mass[Row::kBatch];
#pragma unroll
    for (int b = 0; b < Row::kBatch; ++b) {
#pragma unroll
      for (int i = 0; i < Row::Reader::kWidth; ++i) mass[b].add(rule.exponent(batch.x[b][i]));
    }
    sums.add(batch, mass);
  });
  platform::block_barrier();
  *off = rest + cut_off<Row>();
  return true;
}

// The id at which the running sum of the group masses, and of exact weights in its group, passes the row's target.
template <typename Row>
TOKENDRAW_DEVICE_CALL Found find_by_masses() {
  const WeightRule rule = Row::shared().rule;
  const uint64_t random = Row::shared().inputs.random;
  return find_in_row<Row>(
             Row::mass_of_own_group(), [random](uint64_t mass) { return draw::draw_target(random, mass); },
             [rule](int32_t, float x) { return rule.finite_weight(x); })
      .found;
}

// Without a filter, from the group masses. The token at which the running sum A passes u S is where (1 - u) A and
// u (S - A) meet: what all weights are off by alike shifts that place by half of it at most.
template <typename Row>
TOKENDRAW_DEVICE_CALL bool draw_estimated_token(const RowEstimate& row, Drawn* drawn) {
  uint64_t off = row.alike / 2 + row.apart;
  if (off >= row.total) return false;
  Found found = find_by_masses<Row>();
  if (found.id >= 0 && found.margin < off) {
    if (!refine_estimates<Row>(found.margin, row.own_error, &off)) return false;
    found = find_by_masses<Row>();
    if (found.margin < off) return false;
  }
  *drawn = {found.id, found.x, 0, 0};
  return found.id >= 0;
}

// From a row whose rule is known and whose group masses are estimates still. False if they cannot decide.
template <typename Row>
TOKENDRAW_DEVICE_CALL bool draw_by_estimates(Drawn* drawn) {
  auto& s = Row::shared();
  const RowEstimate row = keep_estimates<Row>();
  if (row.apart >= row.total) return false;
  if constexpr (Row::kIsOfMany) {
    if (unfiltered(s.inputs)) return draw_estimated_token<Row>(row, drawn);
  }
  if (platform::thread_index() == 0) {
    s.total = row.total;
    s.total_error = row.alike + row.apart;
  }
  platform::block_barrier();
  SearchStart unused;
  return draw_from_candidates<Row>(drawn, &unused);
}

}  // namespace tokendraw::gpu
