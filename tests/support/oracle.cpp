// SPDX-License-Identifier: Apache-2.0
#include "support/oracle.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace tokendraw::test {
namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr uint64_t kOne = uint64_t{1} << 42;

uint64_t high_half(uint64_t a, uint64_t b) { return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> 64); }

// ceil(factor * x) for 0 <= x <= 1, exactly: x = mantissa * 2^exponent.
uint64_t share_rounded_up(uint64_t factor, float x) {
  if (x == 0.0f) return 0;
  int exponent = 0;
  const auto mantissa = static_cast<uint64_t>(std::ldexp(std::frexp(x, &exponent), 24));
  const int shift = 24 - exponent;
  const Wide product = static_cast<Wide>(factor) * mantissa;
  if (shift > 127) return product != 0 ? 1 : 0;
  const Wide unit = static_cast<Wide>(1) << shift;
  return static_cast<uint64_t>(product / unit + (product % unit != 0 ? 1 : 0));
}

bool bad_parameters(const BatchSpec& spec, size_t row) {
  const RowSpec& p = spec.rows[row];
  if (std::isnan(p.temperature) || p.temperature < 0.0f) return true;
  if (std::isnan(p.top_p)) return true;
  if (std::isnan(p.min_p) || p.min_p > 1.0f) return true;
  if (!spec.random_f32.empty()) {
    const float u = spec.random_f32[row];
    if (std::isnan(u) || u < 0.0f || u >= 1.0f) return true;
  }
  const bool penalties_given =
      std::any_of(spec.rows.begin(), spec.rows.end(), [](const RowSpec& any) { return !any.history.empty(); });
  if (penalties_given) {  // without a history nobody reads them
    if (!std::isfinite(p.repetition_penalty) || p.repetition_penalty <= 0.0f) return true;
    if (!std::isfinite(p.frequency_penalty) || !std::isfinite(p.presence_penalty)) return true;
  }
  if (!spec.row_index.empty()) {
    const int32_t index = spec.row_index[row];
    if (index < 0 || index >= static_cast<int32_t>(spec.logits.size())) return true;
  }
  return false;
}

// The first entry of each id counts; ids outside the vocabulary and repeated ids set BAD_ID.
template <typename Entry>
std::vector<Entry> usable_entries(const std::vector<Entry>& entries, int32_t vocab, uint32_t& status) {
  std::vector<Entry> usable;
  std::vector<bool> seen(static_cast<size_t>(vocab), false);
  for (const Entry& entry : entries) {
    if (entry.id < 0 || entry.id >= vocab || seen[static_cast<size_t>(entry.id)]) {
      status |= TOKENDRAW_ROW_BAD_ID;
      continue;
    }
    seen[static_cast<size_t>(entry.id)] = true;
    usable.push_back(entry);
  }
  return usable;
}

std::vector<float> effective_logits(const BatchSpec& spec, size_t row, uint32_t& status) {
  const RowSpec& p = spec.rows[row];
  const int32_t vocab = spec.vocab();
  std::vector<float> x = spec.logits_of(row);
  for (float& value : x) {
    if (!std::isnan(value)) continue;
    value = -kInfinity;
    status |= TOKENDRAW_ROW_NAN_LOGIT;
  }
  for (size_t i = 0; i < x.size() && !p.mask.empty(); ++i) {
    if ((p.mask[i / 32] >> (i % 32) & 1u) == 0) x[i] = -kInfinity;
  }
  for (size_t i = 0; i < x.size() && !p.dense_bias.empty(); ++i) {
    if (x[i] != -kInfinity) x[i] = x[i] + p.dense_bias[i];
  }
  for (const BiasEntry& entry : usable_entries(p.sparse_bias, vocab, status)) {
    float& value = x[static_cast<size_t>(entry.id)];
    if (value != -kInfinity) value = value + entry.value;
  }
  for (const HistoryEntry& entry : usable_entries(p.history, vocab, status)) {
    float& value = x[static_cast<size_t>(entry.id)];
    if (value == -kInfinity) continue;
    value = value > 0.0f ? value / p.repetition_penalty : value * p.repetition_penalty;
    if (entry.count > 0) {
      value = std::fma(-p.frequency_penalty, static_cast<float>(entry.count), value);
      value = value - p.presence_penalty;
    }
  }
  for (float& value : x) {
    if (std::isnan(value)) {
      value = -kInfinity;
      status |= TOKENDRAW_ROW_NAN_LOGIT;
    }
    value = value + 0.0f;
  }
  return x;
}

// log softmax(x / T)[token]; equal maxima at +inf share everything.
float log_probability(const std::vector<float>& x, float temperature, bool greedy, size_t token) {
  const float max = *std::max_element(x.begin(), x.end());
  const double t = greedy ? 1.0 : static_cast<double>(temperature);
  const auto exponent = [&](float value) {
    if (max == kInfinity) return value == max ? 0.0 : -HUGE_VAL;
    if (value == -kInfinity) return -HUGE_VAL;
    if (std::isinf(t) && std::isinf(value - max)) return -HUGE_VAL;  // weighs nothing: y is NaN
    return (static_cast<double>(value) - static_cast<double>(max)) / t;
  };
  double sum = 0.0;
  for (const float value : x) sum += std::exp(exponent(value));
  return static_cast<float>(exponent(x[token]) - std::log(sum));
}

// The row once its effective logits stand: everything that the draw, of either algorithm, needs.
struct Prepared {
  bool greedy = false;
  float scale = 0.0f;
  float max = 0.0f;
  uint64_t min_weight = 0;
  int64_t top_k = 0;
  uint64_t need = 0;
  std::vector<uint32_t> order;  // ids by rank
  std::vector<bool> in_base;    // by id
};

Prepared prepare(const BatchSpec& spec, size_t row, OracleRow& out) {
  const RowSpec& p = spec.rows[row];
  const std::vector<float>& x = out.effective;
  Prepared prepared;
  prepared.max = *std::max_element(x.begin(), x.end());
  prepared.scale = 1.44269502162933349609375f / p.temperature;
  prepared.greedy = p.temperature == 0.0f || std::isinf(prepared.scale);
  prepared.top_k = p.top_k <= 0 || p.top_k >= spec.vocab() ? spec.vocab() : p.top_k;
  prepared.min_weight = p.min_p <= 0.0f ? 0 : share_rounded_up(kOne, p.min_p);
  prepared.order.resize(x.size());
  std::iota(prepared.order.begin(), prepared.order.end(), 0u);
  std::stable_sort(prepared.order.begin(), prepared.order.end(), [&](uint32_t a, uint32_t b) { return x[a] > x[b]; });
  out.weights.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    if (prepared.max == kInfinity) {
      out.weights[i] = x[i] == kInfinity ? kOne : 0;
    } else if (x[i] == -kInfinity) {
      out.weights[i] = 0;
    } else {
      const float d = x[i] - prepared.max;
      const float y = d * prepared.scale;
      out.weights[i] = d == 0.0f ? kOne : oracle_weight(y);
    }
  }
  uint64_t base_mass = 0;
  prepared.in_base.assign(x.size(), false);
  for (size_t rank = 0; rank < x.size(); ++rank) {
    const uint32_t id = prepared.order[rank];
    const bool in_k = static_cast<int64_t>(rank) < prepared.top_k;
    const bool in_m = out.weights[id] >= prepared.min_weight;
    const bool in_base = spec.top_p_base == TOKENDRAW_TOP_P_ALL           ? true
                         : spec.top_p_base == TOKENDRAW_TOP_P_AFTER_TOP_K ? in_k
                                                                          : in_k && in_m;
    prepared.in_base[id] = in_base;
    if (in_base) base_mass += out.weights[id];
  }
  // Off, top_p lets every token pass, also one that is no token: a pivot of section 8 between two keys.
  const bool top_p_off = p.top_p >= 1.0f;
  const float share = std::max(p.top_p, 0.0f);
  prepared.need = top_p_off ? ~uint64_t{0} : std::max<uint64_t>(1, share_rounded_up(base_mass, share));
  return prepared;
}

void find_kept(const Prepared& prepared, OracleRow& out) {
  uint64_t before = 0;
  out.kept.assign(out.weights.size(), false);
  for (size_t rank = 0; rank < prepared.order.size(); ++rank) {
    const uint32_t id = prepared.order[rank];
    const bool in_k = static_cast<int64_t>(rank) < prepared.top_k;
    const bool in_m = out.weights[id] >= prepared.min_weight;
    if (in_k && in_m && before < prepared.need && out.weights[id] > 0) {
      out.kept[id] = true;
      ++out.result.kept;
      out.result.kept_mass += out.weights[id];
    }
    if (prepared.in_base[id]) before += out.weights[id];
  }
}

uint64_t random_of(const BatchSpec& spec, size_t row) {
  if (!spec.random_u64.empty()) return spec.random_u64[row];
  if (!spec.random_f32.empty()) {
    return static_cast<uint64_t>(std::ldexp(static_cast<long double>(spec.random_f32[row]), 64));
  }
  const RowSpec& p = spec.rows[row];
  return oracle_random(p.seed, p.stream, p.offset, 0);
}

size_t pick(const std::vector<uint64_t>& weights, const std::vector<bool>& among, uint64_t target) {
  uint64_t running = 0;
  for (size_t id = 0; id < weights.size(); ++id) {
    if (!among[id]) continue;
    running += weights[id];
    if (running > target) return id;
  }
  throw std::logic_error("the target lies outside the mass");
}

uint64_t key_of(float x, size_t id) {
  const uint32_t bits = bits_of(x);
  const uint32_t ordered = (bits >> 31) != 0 ? ~bits : bits ^ 0x80000000u;
  return (static_cast<uint64_t>(ordered) << 32) | static_cast<uint32_t>(~static_cast<uint32_t>(id));
}

// Whether a token with key q would be kept, by looking at every token.
bool key_is_valid(uint64_t q, const Prepared& prepared, const OracleRow& row, const std::vector<uint64_t>& keys) {
  int64_t larger = 0;
  uint64_t mass = 0;
  for (size_t id = 0; id < keys.size(); ++id) {
    if (keys[id] <= q) continue;
    ++larger;
    if (prepared.in_base[id]) mass += row.weights[id];
  }
  if (larger >= prepared.top_k || mass >= prepared.need) return false;
  const auto ordered = static_cast<uint32_t>(q >> 32);
  if (ordered >= key_of(prepared.max, 0) >> 32) return true;  // as heavy as the heaviest, which reaches every min_p
  const float x = float_of((ordered >> 31) != 0 ? ordered ^ 0x80000000u : ~ordered);
  uint64_t weight = 0;
  if (prepared.max != kInfinity && x > -kInfinity) weight = oracle_weight((x - prepared.max) * prepared.scale);
  return weight >= prepared.min_weight;
}

size_t rejection_token(const BatchSpec& spec, size_t row, const Prepared& prepared, OracleRow& out) {
  const RowSpec& p = spec.rows[row];
  std::vector<uint64_t> keys(out.weights.size());
  for (size_t id = 0; id < keys.size(); ++id) keys[id] = key_of(out.effective[id], id);
  uint64_t low = 0;
  uint64_t high = ~uint64_t{0};
  std::vector<bool> above(keys.size());
  for (uint32_t round = 0; round < 65; ++round) {
    out.result.rounds = static_cast<int32_t>(round) + 1;
    uint64_t mass = 0;
    for (size_t id = 0; id < keys.size(); ++id) {
      above[id] = keys[id] > low;
      if (above[id]) mass += out.weights[id];
    }
    const uint64_t random = oracle_random(p.seed, p.stream, p.offset, 0x100 + round);
    const size_t token = pick(out.weights, above, high_half(random, mass));
    const uint64_t pivot1 = keys[token];
    const uint64_t pivot2 = pivot1 + (high - pivot1) / 2;
    if (key_is_valid(pivot1, prepared, out, keys)) return token;
    if (key_is_valid(pivot2, prepared, out, keys)) {
      low = pivot1;
      high = pivot2;
    } else {
      low = pivot2;
    }
  }
  throw std::logic_error("rejection sampling took more than 65 rounds");
}

OracleRow solve(const BatchSpec& spec, size_t row, bool rejection) {
  OracleRow out;
  out.result = {spec.invalid_token, 0, 0, 0, kNan, 0};
  if (bad_parameters(spec, row)) {
    out.result.status = TOKENDRAW_ROW_BAD_PARAMETER;
    return out;
  }
  out.effective = effective_logits(spec, row, out.result.status);
  const Prepared prepared = prepare(spec, row, out);
  if (prepared.max == -kInfinity) {
    out.result.status |= TOKENDRAW_ROW_NO_CANDIDATE;
    return out;
  }
  size_t token = prepared.order[0];
  if (prepared.greedy) {
    out.kept.assign(out.weights.size(), false);
    out.kept[token] = true;
    out.result.kept = 1;
    out.result.kept_mass = kOne;
  } else {
    find_kept(prepared, out);
    token = rejection ? rejection_token(spec, row, prepared, out)
                      : pick(out.weights, out.kept, high_half(random_of(spec, row), out.result.kept_mass));
  }
  out.result.token = static_cast<int32_t>(token);
  out.result.logprob = log_probability(out.effective, spec.rows[row].temperature, prepared.greedy, token);
  return out;
}

std::vector<RowResult> solve_all(const BatchSpec& spec, bool rejection) {
  std::vector<RowResult> results;
  for (size_t row = 0; row < spec.rows.size(); ++row) results.push_back(solve(spec, row, rejection).result);
  return results;
}

}  // namespace

OracleRow oracle_row(const BatchSpec& spec, size_t row) { return solve(spec, row, false); }
OracleRow rejection_row(const BatchSpec& spec, size_t row) { return solve(spec, row, true); }
std::vector<RowResult> oracle_results(const BatchSpec& spec) { return solve_all(spec, false); }
std::vector<RowResult> rejection_results(const BatchSpec& spec) { return solve_all(spec, true); }

uint64_t oracle_weight(float y) {
  if (!(y >= -64.0f)) return 0;
  if (y > 0.0f) return uint64_t{1} << 42;  // a key above the row's largest logit: as heavy as that, at the least
  const float n = std::nearbyint(y);
  const float f = ((y - n) + 6.0f) - 6.0f;
  float p = 0x1.5bfd58p-10f;
  for (const float coefficient : {0x1.3ceaf8p-7f, 0x1.c6b69ap-5f, 0x1.ebf9bap-3f, 0x1.62e42ap-1f, 1.0f}) {
    p = std::fma(p, f, coefficient);
  }
  // P * 2^(18 + n) with the fraction dropped: P < 2^25, so a double holds it exactly.
  return static_cast<uint64_t>(
      std::floor(std::ldexp(std::floor(static_cast<double>(p) * 0x1p24), 18 + static_cast<int>(n))));
}

uint64_t oracle_random(uint64_t seed, uint32_t stream, uint64_t offset, uint32_t purpose) {
  std::array<uint64_t, 4> c = {offset & 0xffffffffu, offset >> 32, stream, purpose};
  uint64_t k0 = seed & 0xffffffffu;
  uint64_t k1 = seed >> 32;
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = c[0] * 0xD2511F53u;
    const uint64_t b = c[2] * 0xCD9E8D57u;
    c = {(b >> 32) ^ c[1] ^ k0, b & 0xffffffffu, (a >> 32) ^ c[3] ^ k1, a & 0xffffffffu};
    k0 = (k0 + 0x9E3779B9u) & 0xffffffffu;
    k1 = (k1 + 0xBB67AE85u) & 0xffffffffu;
  }
  return (c[1] << 32) | c[0];
}

}  // namespace tokendraw::test
