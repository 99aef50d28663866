// SPDX-License-Identifier: Apache-2.0
#include "sort_baseline.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tokendraw::cli {
namespace {

// For finite values; as a float the shifted bits are too small by 2^112.
float fast_f16_to_float(uint16_t bits) {
  const float magnitude = std::bit_cast<float>(static_cast<uint32_t>(bits & 0x7fffu) << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | static_cast<uint32_t>(bits & 0x8000u) << 16);
}

}  // namespace

void SortBaseline::load(const void* logits, int32_t vocab, TokendrawDtype dtype) {
  entries_.resize(static_cast<size_t>(vocab));
  const auto fill = [&](auto&& value_at) {
    for (int32_t id = 0; id < vocab; ++id) entries_[static_cast<size_t>(id)] = {id, value_at(id), 0.0f};
  };
  if (dtype == TOKENDRAW_DTYPE_F32) {
    const auto* x = static_cast<const float*>(logits);
    fill([x](int32_t id) { return x[id]; });
  } else if (dtype == TOKENDRAW_DTYPE_F16) {
    const auto* x = static_cast<const uint16_t*>(logits);
    fill([x](int32_t id) { return fast_f16_to_float(x[id]); });
  } else {
    const auto* x = static_cast<const uint16_t*>(logits);
    fill([x](int32_t id) { return std::bit_cast<float>(static_cast<uint32_t>(x[id]) << 16); });
  }
}

int32_t SortBaseline::sample(const void* logits, int32_t vocab, TokendrawDtype dtype,
                             const cases::FilterSetting& setting, TokendrawTopPBase base, double u) {
  load(logits, vocab, dtype);
  const auto larger = [](const Entry& a, const Entry& b) { return a.logit > b.logit; };
  const auto smaller = [](const Entry& a, const Entry& b) { return a.logit < b.logit; };
  const bool greedy = setting.temperature == 0.0f;
  if (greedy) return std::max_element(entries_.begin(), entries_.end(), smaller)->id;

  const float max = std::max_element(entries_.begin(), entries_.end(), smaller)->logit;
  const auto softmax = [&] {
    double mass = 0.0;
    for (Entry& entry : entries_) {
      entry.weight = std::exp((entry.logit - max) / setting.temperature);
      mass += static_cast<double>(entry.weight);
    }
    return mass;
  };
  const bool top_p_on = setting.top_p < 1.0f;
  const bool joint = top_p_on && base == TOKENDRAW_TOP_P_ALL;
  double base_mass = joint ? softmax() : 0.0;
  if (setting.top_k > 0 && setting.top_k < vocab) {
    std::partial_sort(entries_.begin(), entries_.begin() + setting.top_k, entries_.end(), larger);
    entries_.resize(static_cast<size_t>(setting.top_k));
  } else if (top_p_on) {
    std::sort(entries_.begin(), entries_.end(), larger);
  }
  if (!joint) base_mass = softmax();
  if (setting.min_p > 0.0f) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.weight < setting.min_p; });
  }
  if (top_p_on) {
    double before = 0.0;
    size_t kept = 0;
    while (kept < entries_.size() && (kept == 0 || before < base_mass * static_cast<double>(setting.top_p))) {
      before += static_cast<double>(entries_[kept++].weight);
    }
    entries_.resize(kept);
  }
  double kept_mass = 0.0;
  for (const Entry& entry : entries_) kept_mass += static_cast<double>(entry.weight);
  double left = u * kept_mass;
  for (const Entry& entry : entries_) {
    left -= static_cast<double>(entry.weight);
    if (left < 0.0) return entry.id;
  }
  return entries_.back().id;
}

}  // namespace tokendraw::cli
