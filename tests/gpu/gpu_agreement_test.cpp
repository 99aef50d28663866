// SPDX-License-Identifier: Apache-2.0
// GPU = reference, output for output: the kernels on the emulator, with every algorithm that a GPU serves, warps of 32
// lanes (device 0) and of 64 (device 1), every way that blocks work on a row.
//
// A lane is a fiber there, so the case list is too long. What is run is a part of it in which every two values of two
// dimensions meet: a kind of row and a filter group, a layout and a split row on device 1, and so on. Half of it has
// lists so short that short rows take the ways of long ones.
//
// The environment asks for more:
//   TOKENDRAW_TEST_WHOLE=1        all of the list, all rows of every case, every path: hours
//   TOKENDRAW_TEST_MAX_VOCAB=N    of it, only vocabularies up to N
//   TOKENDRAW_TEST_CASE=ID        this case alone, all of its rows on every path: how a failure is seen again
//   TOKENDRAW_SIMT_LIST_LIMIT=N   with one of these: lists of N keys
//   TOKENDRAW_SIMT_SEED=N         other orders of lanes, warps and blocks; each case has one of its own in any case
#include <case_batch.h>
#include <cases.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "gpu/emulator.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

constexpr size_t kParts = 2;  // of the list, run side by side
constexpr int32_t kShort = 1100;
constexpr int32_t kMiddle = 4097;
constexpr std::array kOutputs = {cases::Outputs::kAll, cases::Outputs::kTokens};
constexpr uint32_t kShortList = 64;  // few candidates fill it: thresholds, gathers and histograms follow

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

uint64_t hash_of(const std::string& text) {
  uint64_t hash = text.size();
  for (const char c : text) hash = mix(hash + static_cast<unsigned char>(c));
  return hash;
}

const char* environment(const char* name) { return std::getenv(name); }  // NOLINT(concurrency-mt-unsafe)

// The order of everything on the emulator follows from this.
void set_seed(uint64_t seed) {
  const char* asked = environment("TOKENDRAW_SIMT_SEED");
  if (asked != nullptr) seed += std::strtoull(asked, nullptr, 10);
  if (auto* set = EMULATOR(simt_set_seed)) set(seed);
}

// ---- What is run

struct Path {
  int32_t device;
  TokendrawAlgorithm algorithm;
  TokendrawGpuWay way;
};

constexpr std::array kWays = {TOKENDRAW_GPU_WAY_BLOCK, TOKENDRAW_GPU_WAY_SMALL_BLOCK, TOKENDRAW_GPU_WAY_SPLIT,
                              TOKENDRAW_GPU_WAY_CLUSTER};
constexpr size_t kExactPaths = 2 * 2 * kWays.size();
constexpr size_t kPathCount = kExactPaths + 2;  // rejection has one way on each device

constexpr Path path_at(size_t index) {
  if (index >= kExactPaths) {
    return {static_cast<int32_t>(index - kExactPaths), TOKENDRAW_ALGORITHM_REJECTION, TOKENDRAW_GPU_WAY_BLOCK};
  }
  return {static_cast<int32_t>(index / (2 * kWays.size())),
          index / kWays.size() % 2 == 0 ? TOKENDRAW_ALGORITHM_CANDIDATES : TOKENDRAW_ALGORITHM_REFINE,
          kWays[index % kWays.size()]};
}

std::string to_text(const Path& path) {
  return std::string(tokendraw_algorithm_name(path.algorithm)) + " on device " + std::to_string(path.device) +
         ", way " + tokendraw_gpu_way_name(path.way);
}

struct Trial {
  cases::Case c;
  std::vector<size_t> paths;
  bool all_rows;
  uint32_t list_limit;  // 0: none
  cases::Outputs outputs;
};

// The combinations of values that have been met: all pairs, and those triples that decide which way a row takes.
class Combinations {
 public:
  // Whether the trial is the first to have one of its combinations.
  bool add(const cases::Case& c, size_t path, uint32_t list_limit, cases::Outputs outputs) {
    const std::array<uint64_t, 11> values = {
        path,
        static_cast<uint64_t>(c.filters),
        static_cast<uint64_t>(c.kind),
        static_cast<uint64_t>(c.base),
        static_cast<uint64_t>(c.extras),
        static_cast<uint64_t>(c.dtype),
        static_cast<uint64_t>(c.layout),
        static_cast<uint64_t>(c.randomness),
        static_cast<uint64_t>(c.vocab),
        list_limit,
        static_cast<uint64_t>(outputs),
    };
    bool found = false;
    for (size_t i = 0; i < values.size(); ++i) {
      for (size_t j = 0; j < i; ++j) found |= seen_.insert({i, j, 0, values[i], values[j], 0}).second;
    }
    constexpr size_t kTriples[][3] = {{0, 1, 2}, {0, 1, 3}, {0, 1, 4},  {0, 4, 5}, {0, 1, 9},
                                      {0, 2, 9}, {1, 2, 9}, {0, 1, 10}, {1, 2, 10}};
    for (const auto& [i, j, k] : kTriples) found |= seen_.insert({i, j, k, values[i], values[j], values[k]}).second;
    return found;
  }

 private:
  std::set<std::array<uint64_t, 6>> seen_;
};

// A row is split where every warp of two blocks, or of up to four, has lines to read.
int32_t split_vocab(const cases::Case& c, uint64_t hash) {
  return (c.dtype == TOKENDRAW_DTYPE_F32 ? 4096 : 8192) * static_cast<int32_t>(1 + hash % 3) + 61;
}

// Whether rejection can serve the case: it takes no random numbers that are handed in.
bool draws_numbers(const cases::Case& c) {
  return c.randomness != cases::Randomness::kRandomU64 && c.randomness != cases::Randomness::kRandomF32;
}

std::vector<Trial> choose_trials() {
  cases::CaseListOptions options;
  options.max_vocab = kMiddle;
  std::vector<std::pair<uint64_t, cases::Case>> list;
  for (const cases::Case& c : cases::list_cases(options)) list.emplace_back(hash_of(case_id(c)), c);
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Trial> trials;
  Combinations met;
  for (auto& [hash, c] : list) {
    const size_t path = hash % (draws_numbers(c) ? kPathCount : kExactPaths);
    const bool split = path_at(path).way == TOKENDRAW_GPU_WAY_SPLIT;
    if (c.vocab > kShort && (split || hash / 8 % 4 != 0)) continue;
    const uint32_t list_limit = (hash >> 32 & 1) != 0 ? kShortList : 0;
    const auto outputs = (hash >> 33 & 1) != 0 ? cases::Outputs::kTokens : cases::Outputs::kAll;
    if (!met.add(c, path, list_limit, outputs)) continue;
    // Rows in clusters are as long as the list's, or as long as split ones.
    if (split || (path_at(path).way == TOKENDRAW_GPU_WAY_CLUSTER && hash / 8 % 2 != 0))
      c.vocab = split_vocab(c, hash / 8);
    trials.push_back({c, {path}, false, list_limit, outputs});
  }
  if (kSanitized) trials.resize(trials.size() / 4);  // the first, which are those that bring the most
  return trials;
}

std::vector<Trial> list_trials() {
  const char* limit_text = environment("TOKENDRAW_SIMT_LIST_LIMIT");
  const uint32_t list_limit = limit_text != nullptr ? static_cast<uint32_t>(std::atoi(limit_text)) : 0;
  const auto every_path = [](const cases::Case& c) {
    std::vector<size_t> paths(draws_numbers(c) ? kPathCount : kExactPaths);
    std::iota(paths.begin(), paths.end(), size_t{0});
    return paths;
  };
  std::vector<Trial> trials;
  if (const char* id = environment("TOKENDRAW_TEST_CASE")) {
    const std::optional<cases::Case> one = cases::parse_case_id(id);
    EXPECT_TRUE(one.has_value()) << "TOKENDRAW_TEST_CASE is no case: " << id;
    for (const bool all_rows : {false, true}) {
      for (const cases::Outputs outputs : kOutputs) {
        if (one) trials.push_back({*one, every_path(*one), all_rows, list_limit, outputs});
      }
    }
    return trials;
  }
  const char* whole = environment("TOKENDRAW_TEST_WHOLE");
  if (whole == nullptr || whole[0] != '1') return choose_trials();
  const char* max_vocab = environment("TOKENDRAW_TEST_MAX_VOCAB");
  cases::CaseListOptions options;
  if (max_vocab != nullptr) options.max_vocab = std::atoi(max_vocab);
  for (const cases::Case& c : cases::list_cases(options)) {
    for (const cases::Outputs outputs : kOutputs) trials.push_back({c, every_path(c), true, list_limit, outputs});
  }
  return trials;
}

// The rows of the case that a path is given: four; three where rows are split, for fewer are shared by more blocks, and
// sometimes so many that the blocks of a row have no list of their own.
std::vector<int64_t> rows_of(const Trial& trial, const Path& path) {
  const int64_t rows = cases::count_case_rows(trial.c);
  const uint64_t hash = hash_of(case_id(trial.c)) / 64;
  const bool split = path.way == TOKENDRAW_GPU_WAY_SPLIT;
  const bool many = split && hash % 64 == 0;
  const int64_t count = trial.all_rows ? rows : many ? 40 : split ? 3 : 4;
  const int64_t first = trial.all_rows ? 0 : static_cast<int64_t>(hash / 64 % static_cast<uint64_t>(rows));
  const int64_t step = trial.all_rows || many ? 1 : rows / 4;
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back((first + i * step) % rows);
  return chosen;
}

// ---- Comparing

SamplerPointer make_gpu_sampler(const Path& path) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.device = path.device;
  options.algorithm = path.algorithm;
  options.gpu_way = path.way;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(sampler);
}

std::vector<RowResult> run_rows(TokendrawSampler* sampler, const cases::CaseBatch& batch, cases::Outputs outputs) {
  cases::CaseOutput output;
  const TokendrawBatch arrays = batch.batch(output, outputs);
  EXPECT_EQ(tokendraw_sample_host(sampler, &arrays), TOKENDRAW_OK) << tokendraw_last_error_message();
  std::vector<RowResult> results;
  for (size_t r = 0; r < output.tokens.size(); ++r) {
    results.push_back({output.tokens[r], output.row_status[r], output.kept[r], output.kept_mass[r], output.logprob[r],
                       output.rounds[r]});
  }
  return results;
}

class GpuAgreement : public testing::TestWithParam<size_t> {};

TEST_P(GpuAgreement, EveryPath) {
  const SamplerPointer reference = make_sampler({TOKENDRAW_ALGORITHM_REFERENCE, "", 1});
  const SamplerPointer rejection = make_sampler({TOKENDRAW_ALGORITHM_REJECTION, "", 1});
  ASSERT_NE(make_gpu_sampler(path_at(0)), nullptr);             // loads the backend
  if (auto* set = EMULATOR(simt_set_multiprocessors)) set(80);  // many, so that rows are split over many blocks
  if (auto* set = EMULATOR(simt_set_cluster_blocks)) set(8);
  std::array<SamplerPointer, kPathCount> samplers;
  for (size_t i = 0; i < kPathCount; ++i) {
    samplers[i] = make_gpu_sampler(path_at(i));
    ASSERT_NE(samplers[i], nullptr);
  }
  const std::vector<Trial> trials = list_trials();
  int failures = 0;
  int64_t rows = 0;
  std::map<TokendrawGpuWay, int64_t> batches;  // that went the way asked for
  int64_t rejection_batches = 0;
  for (size_t i = GetParam(); i < trials.size(); i += kParts) {
    const Trial& trial = trials[i];
    for (const size_t which : trial.paths) {
      const Path path = path_at(which);
      TokendrawSampler* const sampler = samplers[which].get();
      const cases::CaseBatch batch(trial.c, rows_of(trial, path));
      cases::CaseOutput unused;
      const std::string way = plan_value(sampler, batch.batch(unused), "way");
      if (way.rfind(std::string(tokendraw_gpu_way_name(path.way)) + " ", 0) == 0) ++batches[path.way];
      if (plan_value(sampler, batch.batch(unused), "algorithm") == "rejection") ++rejection_batches;
      set_seed(hash_of(case_id(trial.c)) + which);
      if (auto* set = EMULATOR(simt_set_list_limit)) set(trial.list_limit);
      const SamplerPointer& measure = path.algorithm == TOKENDRAW_ALGORITHM_REJECTION ? rejection : reference;
      const std::string found =
          difference(run_rows(measure.get(), batch, trial.outputs), run_rows(sampler, batch, trial.outputs));
      rows += batch.rows();
      if (found.empty()) continue;
      ADD_FAILURE() << to_text(path) << (trial.outputs == cases::Outputs::kTokens ? ", tokens alone: " : ": ") << found
                    << "\nTOKENDRAW_SIMT_LIST_LIMIT=" << trial.list_limit << " TOKENDRAW_TEST_CASE=" << case_id(trial.c)
                    << " gpu_agreement_test";
      if (auto* report = EMULATOR(simt_last_report)) ADD_FAILURE() << report();
      if (++failures == 10) return;
    }
  }
  if (environment("TOKENDRAW_TEST_CASE") == nullptr) {
    EXPECT_GT(rows, 0);
    for (const TokendrawGpuWay way : kWays) EXPECT_GT(batches[way], 0) << tokendraw_gpu_way_name(way);
    EXPECT_GT(rejection_batches, 0);
  }
  RecordProperty("rows_compared", std::to_string(rows));
}

// Else half of the trials would show nothing of their own.
TEST(GpuAgreementTrials, ShortListsSendShortRowsOtherWays) {
  const SamplerPointer sampler = make_gpu_sampler(path_at(0));
  ASSERT_NE(sampler, nullptr);
  auto* const set_limit = EMULATOR(simt_set_list_limit);
  if (set_limit == nullptr) GTEST_SKIP() << "not on the emulator";
  cases::Case c;
  c.vocab = kShort;
  const std::vector<int64_t> rows = {0};
  const cases::CaseBatch batch(c, rows);
  std::set<uint64_t> switches;  // between lanes: equal where lanes do the same in the same order
  for (const uint32_t list_limit : {0u, kShortList, 0u}) {
    set_seed(1);
    set_limit(list_limit);
    const uint64_t before = EMULATOR(simt_count_switches)();
    (void)run_rows(sampler.get(), batch, cases::Outputs::kAll);
    switches.insert(EMULATOR(simt_count_switches)() - before);
  }
  set_limit(0);
  EXPECT_EQ(switches.size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuAgreement, testing::Range(size_t{0}, kParts));

}  // namespace
}  // namespace tokendraw::test
