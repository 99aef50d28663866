// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any batch, by every algorithm. Whatever stands in a batch whose arrays have the promised sizes, no
// call may read or write outside them, and every algorithm and SIMD target must answer as the reference does.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "batch_from_bytes.h"

namespace tokendraw::fuzz {
namespace {

struct Outputs {
  explicit Outputs(int64_t rows)
      : tokens(rows), row_status(rows), kept(rows), kept_mass(rows), logprob(rows), rounds(rows) {}
  std::vector<int32_t> tokens;
  std::vector<uint32_t> row_status;
  std::vector<int64_t> kept;
  std::vector<uint64_t> kept_mass;
  std::vector<float> logprob;
  std::vector<int32_t> rounds;
};

[[noreturn]] void report(const char* what, const char* algorithm, const char* target) {
  std::fprintf(stderr, "fuzz_batch: %s (algorithm %s, target %s): %s\n", what, algorithm, target,
               tokendraw_last_error_message());
  std::abort();
}

struct Choice {
  TokendrawAlgorithm algorithm;
  int32_t target;   // index of tokendraw_get_cpu_target_name
  int32_t threads;  // 1 or more
  friend bool operator<(const Choice& a, const Choice& b) {
    return std::tuple(a.algorithm, a.target, a.threads) < std::tuple(b.algorithm, b.target, b.threads);
  }
};

int32_t target_count() {
  int32_t count = 0;
  while (tokendraw_get_cpu_target_name(count) != nullptr) ++count;
  return count;
}

// Samplers live as long as the process: a token may not depend on what was sampled before, and creating one is slow.
TokendrawSampler* sampler_of(const Choice& choice) {
  using Owner = std::unique_ptr<TokendrawSampler, decltype(&tokendraw_destroy_sampler)>;
  static std::map<Choice, Owner> samplers;
  auto found = samplers.find(choice);
  if (found == samplers.end()) {
    TokendrawSamplerOptions options;
    tokendraw_init_sampler_options(&options);
    options.algorithm = choice.algorithm;
    options.threads = choice.threads;
    options.cpu_target = tokendraw_get_cpu_target_name(choice.target);
    TokendrawSampler* sampler = nullptr;
    if (tokendraw_create_sampler(&options, &sampler) != TOKENDRAW_OK) {
      report("no sampler", tokendraw_algorithm_name(choice.algorithm), options.cpu_target);
    }
    found = samplers.emplace(choice, Owner(sampler, &tokendraw_destroy_sampler)).first;
  }
  return found->second.get();
}

// Which optional outputs a call asks for; another set may take another path but not give another token.
struct Wanted {
  bool row_status = true, kept = true, kept_mass = true, logprob = true;
};

TokendrawBatch with_outputs(const TokendrawBatch& input, const Wanted& wanted, Outputs& outputs) {
  TokendrawBatch batch = input;
  batch.tokens = outputs.tokens.data();
  batch.row_status = wanted.row_status ? outputs.row_status.data() : nullptr;
  batch.kept = wanted.kept ? outputs.kept.data() : nullptr;
  batch.kept_mass = wanted.kept_mass ? outputs.kept_mass.data() : nullptr;
  batch.logprob = wanted.logprob ? outputs.logprob.data() : nullptr;
  batch.rounds = outputs.rounds.data();
  return batch;
}

// With a workspace of exactly the size asked for, at an odd address, full of rubbish.
TokendrawStatus sample_with_workspace(const Choice& choice, const TokendrawBatch& batch) {
  TokendrawSampler* sampler = sampler_of(choice);
  size_t needed = 0;
  const TokendrawStatus status = tokendraw_get_workspace_bytes(sampler, &batch, &needed);
  if (status != TOKENDRAW_OK) return status;
  constexpr size_t kOdd = 5;
  std::vector<unsigned char> workspace(needed + kOdd, 0xa5);
  if (batch.rows > 0 && needed > 0 &&
      tokendraw_sample(sampler, &batch, workspace.data() + kOdd, needed - 1, nullptr) == TOKENDRAW_OK) {
    report("a workspace too small was accepted", tokendraw_algorithm_name(choice.algorithm), "");
  }
  return tokendraw_sample(sampler, &batch, workspace.data() + kOdd, needed, nullptr);
}

bool same_logprob(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a == b) return true;  // infinities
  return std::fabs(static_cast<double>(a) - b) <= 2e-6 + 2.4e-7 * std::fabs(static_cast<double>(a));
}

// What row r was, as far as scalars tell.
void print_row(const TokendrawBatch& b, size_t r) {
  std::fprintf(
      stderr, "vocab %d, %s, rows %lld, temperature %a, top_k %d, top_p %a, min_p %a, %s, penalties %a %a %a\n",
      b.vocab, tokendraw_dtype_name(b.dtype), static_cast<long long>(b.rows),
      static_cast<double>(b.temperature_per_row != nullptr ? b.temperature_per_row[r] : b.temperature),
      b.top_k_per_row != nullptr ? b.top_k_per_row[r] : b.top_k,
      static_cast<double>(b.top_p_per_row != nullptr ? b.top_p_per_row[r] : b.top_p),
      static_cast<double>(b.min_p_per_row != nullptr ? b.min_p_per_row[r] : b.min_p),
      tokendraw_top_p_base_name(b.top_p_base),
      static_cast<double>(b.repetition_penalty_per_row != nullptr ? b.repetition_penalty_per_row[r]
                                                                  : b.repetition_penalty),
      static_cast<double>(b.frequency_penalty_per_row != nullptr ? b.frequency_penalty_per_row[r]
                                                                 : b.frequency_penalty),
      static_cast<double>(b.presence_penalty_per_row != nullptr ? b.presence_penalty_per_row[r] : b.presence_penalty));
  std::fprintf(stderr, "given:%s%s%s%s%s%s; struct_size %zu\n", b.row_index != nullptr ? " row_index" : "",
               b.mask != nullptr ? " mask" : "", b.bias != nullptr ? " bias" : "",
               b.bias_offsets != nullptr ? " bias list" : "", b.history_offsets != nullptr ? " history" : "",
               b.random_u64 != nullptr || b.random_f32 != nullptr ? " random" : "", b.struct_size);
}

void compare(const TokendrawBatch& input, const Outputs& expected, const Outputs& actual, const Wanted& wanted,
             const Choice& choice, bool compare_tokens) {
  const char* target = tokendraw_get_cpu_target_name(choice.target);
  for (size_t r = 0; r < expected.tokens.size(); ++r) {
    const bool same =
        (!compare_tokens || (expected.tokens[r] == actual.tokens[r] && expected.rounds[r] == actual.rounds[r] &&
                             (!wanted.logprob || same_logprob(expected.logprob[r], actual.logprob[r])))) &&
        (!wanted.row_status || expected.row_status[r] == actual.row_status[r]) &&
        (!wanted.kept || expected.kept[r] == actual.kept[r]) &&
        (!wanted.kept_mass || expected.kept_mass[r] == actual.kept_mass[r]);
    if (same) continue;
    print_row(input, r);
    for (const Outputs* o : {&expected, &actual}) {
      std::fprintf(stderr, "%s: row %zu token %d status %u kept %lld mass %llu logprob %.9g rounds %d\n",
                   o == &expected ? "expected" : "actual  ", r, o->tokens[r], o->row_status[r],
                   static_cast<long long>(o->kept[r]), static_cast<unsigned long long>(o->kept_mass[r]),
                   static_cast<double>(o->logprob[r]), o->rounds[r]);
    }
    report("another answer than the reference", tokendraw_algorithm_name(choice.algorithm), target);
  }
}

void check_plan_text(const TokendrawSampler* sampler, const TokendrawBatch& batch, size_t capacity) {
  std::vector<char> text(capacity, 'x');
  size_t needed = 0;
  if (tokendraw_describe_plan(sampler, &batch, text.data(), capacity, &needed) != TOKENDRAW_OK) return;
  if (needed == 0 || (capacity > 0 && std::memchr(text.data(), 0, capacity) == nullptr)) {
    report("a plan's text without an end", "", "");
  }
}

void run(FuzzedDataProvider& bytes) {
  const auto target = bytes.ConsumeIntegralInRange<int32_t>(0, target_count() - 1);
  const Wanted wanted = {bytes.ConsumeBool(), bytes.ConsumeBool(), bytes.ConsumeBool(), bytes.ConsumeBool()};
  const auto text_capacity = bytes.ConsumeIntegral<uint8_t>();
  const bool shorter = bytes.ConsumeIntegralInRange<int>(0, 15) == 0;
  // At a multiple of 8 no field is cut in two, as in the struct of an older header.
  const size_t shorter_size = 8 * bytes.ConsumeIntegralInRange<size_t>(0, sizeof(TokendrawBatch) / 8 - 1);
  const FuzzedBatch fuzzed(bytes);
  TokendrawBatch input = fuzzed.batch();
  if (shorter && !fuzzed.must_be_refused()) input.struct_size = shorter_size;
  const auto rows = fuzzed.must_be_refused() ? 4 : input.rows;

  Outputs expected(rows);
  const Choice reference = {TOKENDRAW_ALGORITHM_REFERENCE, 0, 1};
  const TokendrawStatus status = sample_with_workspace(reference, with_outputs(input, {}, expected));
  if (fuzzed.must_be_refused() && status == TOKENDRAW_OK) report("a broken batch was accepted", "reference", "");
  if (status != TOKENDRAW_OK && tokendraw_last_error_message()[0] == '\0') report("no message", "reference", "");

  for (const TokendrawAlgorithm algorithm :
       {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE}) {
    const Choice choice = {algorithm, target, 1};
    Outputs outputs(rows);
    if (sample_with_workspace(choice, with_outputs(input, wanted, outputs)) != status) {
      report("another status than the reference", tokendraw_algorithm_name(algorithm), "");
    }
    if (status == TOKENDRAW_OK) compare(input, expected, outputs, wanted, choice, true);
  }

  const Choice threaded = {TOKENDRAW_ALGORITHM_AUTO, target, 3};
  Outputs outputs(rows);
  const TokendrawBatch batch = with_outputs(input, {}, outputs);
  if (tokendraw_sample_host(sampler_of(threaded), &batch) != status) report("another status", "auto, 3 threads", "");
  if (status == TOKENDRAW_OK) compare(input, expected, outputs, {}, threaded, true);
  check_plan_text(sampler_of(threaded), batch, text_capacity);

  // Rejection draws another token of the same kept set, the same one on every target.
  Outputs first(rows), second(rows);
  const Choice best = {TOKENDRAW_ALGORITHM_REJECTION, 0, 1}, other = {TOKENDRAW_ALGORITHM_REJECTION, target, 1};
  const TokendrawStatus rejection = sample_with_workspace(best, with_outputs(input, {}, first));
  const bool random_given = input.random_u64 != nullptr || input.random_f32 != nullptr;
  if (rejection != status && !(random_given && rejection == TOKENDRAW_INVALID_RANDOM)) {
    report("another status than the reference", "rejection", "");
  }
  if (sample_with_workspace(other, with_outputs(input, {}, second)) != rejection) {
    report("a status that depends on the target", "rejection", "");
  }
  if (rejection == TOKENDRAW_OK) {
    compare(input, expected, first, {}, best, false);
    compare(input, first, second, {}, other, true);
  }
}

}  // namespace
}  // namespace tokendraw::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider bytes(data, size);
  tokendraw::fuzz::run(bytes);
  return 0;
}
