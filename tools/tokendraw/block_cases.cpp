// SPDX-License-Identifier: Apache-2.0
#include "block_cases.h"

#include <cmath>

#include "filter_case.h"
#include "prefix_sum_case.h"
#include "random_case.h"
#include "softmax_case.h"

namespace tokendraw::cases {
namespace {

std::string failed(const char* who) { return std::string(who) + ": " + tokendraw_last_error_message(); }

// Both samplers make a call; `run` makes one and `differ` says how two differ.
template <typename Call, typename Case, typename Run, typename Differ>
std::string compare_calls(const Case& c, TokendrawSampler* expected, TokendrawSampler* found, const Run& run,
                          const Differ& differ) {
  Call wanted(c);
  Call got(c);
  if (run(expected, wanted) != TOKENDRAW_OK) return failed("the CPU");
  if (run(found, got) != TOKENDRAW_OK) return failed("the backend");
  return differ(wanted, got);
}

TokendrawStatus run_softmax(TokendrawSampler* sampler, SoftmaxCall& call) {
  return tokendraw_compute_softmax_host(sampler, &call.softmax);
}
TokendrawStatus run_prefix_sum(TokendrawSampler* sampler, PrefixSumCall& call) {
  return tokendraw_compute_prefix_sum_host(sampler, &call.sum);
}
TokendrawStatus run_random(TokendrawSampler* sampler, RandomCall& call) {
  return tokendraw_fill_random_host(sampler, &call.random);
}
TokendrawStatus run_filter(TokendrawSampler* sampler, FilterCall& call) {
  return tokendraw_apply_filter_host(sampler, &call.filter);
}

template <typename Call>
std::string differ_in_matrices(const Call& wanted, const Call& got) {
  if (wanted.status != got.status) return "the statuses differ";
  if (wanted.output != got.output) return "the outputs differ";
  return wanted.input == got.input ? "" : "the inputs, or outputs in their place, differ";
}
std::string differ_in_output(const RandomCall& wanted, const RandomCall& got) {
  return wanted.output == got.output ? "" : "the outputs differ";
}
std::string differ_in_filter(const FilterCall& wanted, const FilterCall& got) {
  if (wanted.tokens != got.tokens) return "the tokens differ";
  if (wanted.kept != got.kept || wanted.kept_mass != got.kept_mass) return "what is kept differs";
  return wanted == got ? "" : "the outputs or statuses differ";
}

// Probabilities of rows that are what they seem: without NaN, infinities and parameters that are no values.
std::string compare_with_exponentials(const SoftmaxCase& asked, TokendrawSampler* found) {
  SoftmaxCase c = asked;
  c.in_place = false;
  c.log = false;
  c.output_dtype = TOKENDRAW_DTYPE_F32;
  SoftmaxCall call(c);
  if (run_softmax(found, call) != TOKENDRAW_OK) return failed("the backend");
  for (const int64_t row : {0, 1, 2, 5}) {
    const auto temperature = static_cast<double>(call.temperatures[static_cast<size_t>(row)]);
    double largest = static_cast<double>(call.logit(row, 0));
    for (int32_t id = 1; id < c.vocab; ++id) largest = std::max(largest, static_cast<double>(call.logit(row, id)));
    double sum = 0;
    const auto power = [&](int32_t id) {
      return std::exp((static_cast<double>(call.logit(row, id)) - largest) / temperature);
    };
    for (int32_t id = 0; id < c.vocab; ++id) sum += power(id);
    for (int32_t id = 0; id < c.vocab; ++id) {
      const double wrong = std::fabs(static_cast<double>(call.result(row, id)) - power(id) / sum);
      if (wrong > 1e-6) return "row " + std::to_string(row) + ": a probability is wrong by " + std::to_string(wrong);
    }
  }
  return "";
}

std::string compare_with_additions(const PrefixSumCase& asked, TokendrawSampler* found) {
  PrefixSumCase c = asked;
  c.in_place = false;
  PrefixSumCall call(c);
  if (run_prefix_sum(found, call) != TOKENDRAW_OK) return failed("the backend");
  for (int64_t row = 0; row < kPrefixSumRows; ++row) {
    uint64_t sum = 0;
    for (int32_t id = 0; id < c.vocab; ++id) {
      const uint64_t element = call.row<uint64_t>(call.sum.input, row)[id];
      if (!c.exclusive) sum += element;
      if (call.row<uint64_t>(call.sum.output, row)[id] != sum) return "row " + std::to_string(row) + ": a sum is wrong";
      if (c.exclusive) sum += element;
    }
  }
  return "";
}

// Kept count, kept mass, status and token of a filter are those of the sampler.
std::string compare_with_sampler(const FilterCase& c, TokendrawSampler* reference, TokendrawSampler* found) {
  FilterCall wanted(c);
  FilterCall got(c);
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = wanted.filter.input;
  batch.dtype = c.dtype;
  batch.vocab = c.vocab;
  batch.rows = kFilterRows;
  batch.row_stride = wanted.filter.input_stride;
  batch.temperature = wanted.filter.temperature;
  batch.temperature_per_row = wanted.filter.temperature_per_row;
  batch.top_k = wanted.filter.top_k;
  batch.top_k_per_row = wanted.filter.top_k_per_row;
  batch.top_p = wanted.filter.top_p;
  batch.top_p_per_row = wanted.filter.top_p_per_row;
  batch.min_p = wanted.filter.min_p;
  batch.min_p_per_row = wanted.filter.min_p_per_row;
  batch.top_p_base = c.base;
  batch.seed = wanted.filter.seed;
  batch.seed_per_row = wanted.filter.seed_per_row;
  batch.offset = wanted.filter.offset;
  batch.tokens = wanted.tokens.data();
  batch.row_status = wanted.status.data();
  batch.kept = wanted.kept.data();
  batch.kept_mass = wanted.kept_mass.data();
  if (tokendraw_sample_host(reference, &batch) != TOKENDRAW_OK) return failed("the reference");
  if (run_filter(found, got) != TOKENDRAW_OK) return failed("the backend");
  if (wanted.tokens != got.tokens) return "the tokens are not those of the reference";
  if (wanted.status != got.status) return "the statuses are not those of the reference";
  return wanted.kept == got.kept && wanted.kept_mass == got.kept_mass ? ""
                                                                      : "what is kept is not what the reference keeps";
}

}  // namespace

std::vector<BlockCase> list_block_cases(const BlockListOptions& options) {
  std::vector<BlockCase> all;
  const auto add = [&](const char* block, const auto& c, int64_t columns, auto compare, auto define) {
    all.push_back({std::string(kBlocks) + block + "/" + c.text(), columns, compare, define});
  };
  for (const SoftmaxCase& c : softmax_cases({1, 2, 517, 4099, 32000})) {
    add(
        "softmax", c, c.vocab,
        [c](auto* expected, auto* found) {
          return compare_calls<SoftmaxCall>(c, expected, found, run_softmax, differ_in_matrices<SoftmaxCall>);
        },
        [c](auto*, auto* found) { return compare_with_exponentials(c, found); });
  }
  for (const PrefixSumCase& c : prefix_sum_cases({1, 31, 2049, 32000})) {
    std::function<std::string(TokendrawSampler*, TokendrawSampler*)> define;
    if (c.number == TOKENDRAW_NUMBER_U64) define = [c](auto*, auto* found) { return compare_with_additions(c, found); };
    add(
        "prefix-sum", c, c.vocab,
        [c](auto* expected, auto* found) {
          return compare_calls<PrefixSumCall>(c, expected, found, run_prefix_sum, differ_in_matrices<PrefixSumCall>);
        },
        define);
  }
  for (const RandomCase& c : random_cases({1, 5, 1000, 30001})) {
    add(
        "random", c, c.count,
        [c](auto* expected, auto* found) {
          return compare_calls<RandomCall>(c, expected, found, run_random, differ_in_output);
        },
        std::function<std::string(TokendrawSampler*, TokendrawSampler*)>());
  }
  for (const FilterCase& c : filter_cases({2, 700, 8001})) {
    std::function<std::string(TokendrawSampler*, TokendrawSampler*)> define;
    if (c.form == TOKENDRAW_FORM_LOGITS && !c.in_place) {
      define = [c](auto* reference, auto* found) { return compare_with_sampler(c, reference, found); };
    }
    add(
        "filter", c, c.vocab,
        [c](auto* expected, auto* found) {
          return compare_calls<FilterCall>(c, expected, found, run_filter, differ_in_filter);
        },
        define);
  }
  std::vector<BlockCase> chosen;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].columns <= options.max_columns && (!options.quick || i % 10 == 3)) chosen.push_back(all[i]);
  }
  return chosen;
}

}  // namespace tokendraw::cases
