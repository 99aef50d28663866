// SPDX-License-Identifier: Apache-2.0
#include "cpu/row_edits.h"

#include <algorithm>
#include <bit>

#include "draw/effective_logit.h"

namespace tokendraw::cpu {

float logit_before_lists(const RowInputs& inputs, int32_t id, bool& nan) {
  const float x = draw::nan_to_minus_infinity(stored_logit(inputs, id), nan);
  if (inputs.mask != nullptr && (inputs.mask[id / 32] >> (id % 32) & 1u) == 0) return -draw::infinity();
  return inputs.bias != nullptr ? draw::apply_bias(x, inputs.bias[id]) : x;
}

RowEdits::RowEdits(const RowInputs& inputs, const EditScratch& scratch) : scratch_(scratch), vocab_(inputs.vocab) {
  any_ = inputs.has_lists();
  if (!any_) return;
  const int64_t words = (static_cast<int64_t>(vocab_) + 63) / 64;
  std::fill_n(scratch_.marked, words, uint64_t{0});
  std::fill_n(scratch_.in_history, words, uint64_t{0});
  add_bias(inputs);
  add_penalties(inputs);
}

// Whether an id is in range and not seen before in its list; marks it as seen.
bool RowEdits::usable(int32_t id, uint64_t* seen) {
  const bool in_range = id >= 0 && id < vocab_;
  const uint64_t bit = in_range ? uint64_t{1} << (id % 64) : 0;
  if (!in_range || (seen[id / 64] & bit) != 0) {
    bad_id_ = true;
    return false;
  }
  seen[id / 64] |= bit;
  return true;
}

void RowEdits::add_bias(const RowInputs& inputs) {
  bool nan = false;  // the pass over the row reports it
  for (int64_t j = 0; j < inputs.bias_list.size; ++j) {
    const int32_t id = inputs.bias_list.ids[j];
    if (!usable(id, scratch_.marked)) continue;
    scratch_.logit[id] = draw::apply_bias(logit_before_lists(inputs, id, nan), inputs.bias_list.values[j]);
  }
}

void RowEdits::add_penalties(const RowInputs& inputs) {
  bool nan = false;
  for (int64_t j = 0; j < inputs.history.size; ++j) {
    const int32_t id = inputs.history.ids[j];
    if (!usable(id, scratch_.in_history)) continue;
    const bool biased = (scratch_.marked[id / 64] >> (id % 64) & 1u) != 0;
    const float x = biased ? scratch_.logit[id] : logit_before_lists(inputs, id, nan);
    const int32_t count = inputs.history.counts != nullptr ? inputs.history.counts[j] : 1;
    scratch_.logit[id] = draw::apply_penalties(x, inputs.penalties, count);
    scratch_.marked[id / 64] |= uint64_t{1} << (id % 64);
  }
}

void RowEdits::apply(float* x, int32_t first, int32_t n) const {
  for (int32_t word = 0; word * 64 < n; ++word) {
    for (uint64_t bits = scratch_.marked[first / 64 + word]; bits != 0; bits &= bits - 1) {
      const int32_t i = word * 64 + std::countr_zero(bits);
      x[i] = scratch_.logit[first + i];
    }
  }
}

}  // namespace tokendraw::cpu
