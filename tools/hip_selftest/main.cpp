// SPDX-License-Identifier: Apache-2.0
// tokendraw-hip-selftest: what the owner of an AMD GPU runs first. Samples small batches by every kernel on every
// device and compares each answer with the reference, which is in this program too; then the building blocks, with the
// CPU's. One line a case.
//
//   tokendraw-hip-selftest [--rows N] [--only TEXT]
//     --rows N     at most so many rows of every case, and a tenth of the building blocks' [all, up to 24]
//     --only TEXT  only cases whose line contains TEXT
//
// Exit codes: 0 all agree, 1 a difference or a failure, 2 wrong arguments, 3 no device
#include <tokendraw/tokendraw.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "block_cases.h"
#include "case_batch.h"
#include "cases.h"
#include "linked_backend.h"

namespace tokendraw::selftest {
namespace {

struct DestroySampler {
  void operator()(TokendrawSampler* sampler) const { tokendraw_destroy_sampler(sampler); }
};
using Sampler = std::unique_ptr<TokendrawSampler, DestroySampler>;

struct Options {
  int64_t rows = 24;
  std::string only;
};

// How the plan is to cut rows; the numbers of multiprocessors are those of the smallest and largest AMD GPU of
// src/plan/amd_targets.cpp.
struct Way {
  const char* name;
  int32_t multiprocessors;
  bool split;
};
constexpr Way kWays[] = {
    {"one block a row", 1, false},
    {"split as by 20 multiprocessors", 20, true},
    {"split as by 304 multiprocessors", 304, true},
};

Sampler make_sampler(TokendrawBackend backend, int32_t device, TokendrawAlgorithm algorithm) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = backend;
  options.device = device;
  options.algorithm = algorithm;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawSampler* sampler = nullptr;
  if (tokendraw_create_sampler(&options, &sampler) != TOKENDRAW_OK) return nullptr;
  return Sampler(sampler);
}

// The promise is 1e-6, then rounding to float, for each of the two.
bool logprob_close(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::fabs(a - b) <= 2.02e-6 + std::max(std::fabs(a), std::fabs(b)) * 0x1.02p-23;
}

// Prints the rows that differ and returns how many do.
int64_t compare(const cases::CaseOutput& got, const cases::CaseOutput& wanted) {
  int64_t differing = 0;
  for (size_t r = 0; r < wanted.tokens.size(); ++r) {
    const bool same = got.tokens[r] == wanted.tokens[r] && got.row_status[r] == wanted.row_status[r] &&
                      got.kept[r] == wanted.kept[r] && got.kept_mass[r] == wanted.kept_mass[r] &&
                      logprob_close(got.logprob[r], wanted.logprob[r]);
    if (same) continue;
    ++differing;
    const auto show = [r](const char* who, const cases::CaseOutput& o) {
      std::printf("       row %zu %s: token %d, status %u, kept %lld, mass %llu, logprob %.9g\n", r, who, o.tokens[r],
                  o.row_status[r], static_cast<long long>(o.kept[r]), static_cast<unsigned long long>(o.kept_mass[r]),
                  static_cast<double>(o.logprob[r]));
    };
    show("expected", wanted);
    show("got     ", got);
  }
  return differing;
}

bool is_split(const TokendrawSampler* sampler, const TokendrawBatch& batch) {
  char plan[2000];
  if (tokendraw_describe_plan(sampler, &batch, plan, sizeof plan, nullptr) != TOKENDRAW_OK) return false;
  return std::strstr(plan, "\nblocks: 1 a row") == nullptr;
}

// Every dtype, every kind of extras and every filter group meet in every way; rows, layouts, random numbers and bases
// rotate. Together they run every kernel: logits read as they are and edited, with lists and without.
std::vector<cases::Case> list_cases(bool split) {
  using cases::Extras, cases::FilterGroup, cases::Layout, cases::Randomness;
  constexpr int kExtras = static_cast<int>(Extras::kEverything) + 1;
  std::vector<cases::Case> list;
  uint32_t n = 0;
  for (const TokendrawDtype dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    for (int filters = 0; filters <= static_cast<int>(FilterGroup::kRandom); ++filters) {
      for (int extras = 0; extras < kExtras; ++extras, ++n) {
        cases::Case c;
        c.dtype = dtype;
        // A row is split where the warps of two blocks have two lines each.
        constexpr int32_t kShort[] = {1025, 33, 257, 4097};
        const int32_t several = dtype == TOKENDRAW_DTYPE_F32 ? 4096 : 8192;
        c.vocab = split ? several * static_cast<int32_t>(1 + n % 2) + 61 : kShort[n % 4];
        c.kind = cases::all_row_kinds()[n * 11 % cases::all_row_kinds().size()];
        c.filters = static_cast<FilterGroup>(filters);
        c.extras = static_cast<Extras>(extras);
        c.layout = static_cast<Layout>(n / 3 % 4);
        c.randomness = static_cast<Randomness>(n / 5 % 4);
        c.base = static_cast<TokendrawTopPBase>(n / 7 % 3);
        list.push_back(c);
      }
    }
  }
  return list;
}

struct Counts {
  int64_t cases = 0;
  int64_t failed = 0;
  int64_t rows = 0;
};

void run_case(const Options& options, const cases::Case& c, const Way& way, TokendrawSampler* gpu,
              TokendrawSampler* reference, const std::string& where, Counts* counts) {
  const std::string line = where + ", " + way.name + ", " + cases::case_id(c);
  if (line.find(options.only) == std::string::npos) return;
  std::vector<int64_t> rows;
  const int64_t all = cases::count_case_rows(c);
  for (int64_t r = 0; r < std::min(all, options.rows); ++r) rows.push_back((r * 5 + counts->cases) % all);
  const cases::CaseBatch batch(c, rows);
  cases::CaseOutput wanted;
  cases::CaseOutput got;
  const TokendrawBatch to_wanted = batch.batch(wanted);
  const auto outputs = counts->cases % 2 == 0 ? cases::Outputs::kAll : cases::Outputs::kTokens;  // in turn
  const TokendrawBatch to_got = batch.batch(got, outputs);
  ++counts->cases;
  counts->rows += batch.rows();
  std::string problem;
  if (tokendraw_sample_host(reference, &to_wanted) != TOKENDRAW_OK) {
    problem = std::string("the reference: ") + tokendraw_last_error_message();
  } else if (tokendraw_sample_host(gpu, &to_got) != TOKENDRAW_OK) {
    problem = tokendraw_last_error_message();
  } else if (is_split(gpu, to_got) != way.split) {
    problem = "the plan is of another way";
  }
  if (outputs == cases::Outputs::kTokens) got.take_unasked(wanted);
  const int64_t differing = problem.empty() ? compare(got, wanted) : 0;
  if (differing > 0) problem = "rows that differ: " + std::to_string(differing);
  std::printf("%s %s, rows %lld%s%s\n", problem.empty() ? "ok    " : "FAILED", line.c_str(),
              static_cast<long long>(batch.rows()), problem.empty() ? "" : ": ", problem.c_str());
  std::fflush(stdout);  // should a kernel hang, the line before says which
  if (!problem.empty()) ++counts->failed;
}

// Building blocks have a kernel for each dtype, and no ways.
void run_blocks(const Options& options, TokendrawSampler* gpu, TokendrawSampler* cpu, const std::string& target,
                Counts* counts) {
  constexpr int64_t kMostColumns = 5000;  // long enough for several turns of a block
  for (const cases::BlockCase& c : cases::list_block_cases({options.rows < Options().rows, kMostColumns})) {
    const std::string line = target + ", " + c.name;
    if (line.find(options.only) == std::string::npos) continue;
    ++counts->cases;
    const std::string problem = c.compare(cpu, gpu);
    std::printf("%s %s%s%s\n", problem.empty() ? "ok    " : "FAILED", line.c_str(), problem.empty() ? "" : ": ",
                problem.c_str());
    std::fflush(stdout);
    if (!problem.empty()) ++counts->failed;
  }
}

// False: the device could not be used.
bool run_device(const Options& options, int32_t device, Counts* counts) {
  TokendrawDeviceInfo info = {};
  info.struct_size = sizeof info;
  if (tokendraw_get_device_info(TOKENDRAW_BACKEND_HIP, device, &info) != TOKENDRAW_OK) {
    std::printf("FAILED device %d: %s\n", device, tokendraw_last_error_message());
    return false;
  }
  std::printf("device %d: %s, %s, %d multiprocessors, waves of %d\n", device, info.name, info.target,
              info.compute_units, info.simd_width_f32);
  const Sampler reference = make_sampler(TOKENDRAW_BACKEND_CPU, -1, TOKENDRAW_ALGORITHM_REFERENCE);
  const Sampler rejection = make_sampler(TOKENDRAW_BACKEND_CPU, -1, TOKENDRAW_ALGORITHM_REJECTION);
  for (const Way& way : kWays) {
    const std::vector<cases::Case> list = list_cases(way.split);
    for (const auto algorithm :
         {TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE, TOKENDRAW_ALGORITHM_REJECTION}) {
      const bool rejects = algorithm == TOKENDRAW_ALGORITHM_REJECTION;
      if (rejects && way.split) continue;  // it gives every row a block
      pretend_multiprocessors(way.multiprocessors);
      const Sampler gpu = make_sampler(TOKENDRAW_BACKEND_HIP, device, algorithm);
      if (gpu == nullptr || reference == nullptr || rejection == nullptr) {
        std::printf("FAILED device %d: %s\n", device, tokendraw_last_error_message());
        return false;
      }
      const std::string where = std::string(info.target) + ", " + tokendraw_algorithm_name(algorithm);
      TokendrawSampler* expected = rejects ? rejection.get() : reference.get();  // whose tokens are others
      for (cases::Case c : list) {
        // It draws a number each round, so none can be handed in.
        if (rejects && c.randomness > cases::Randomness::kSeeds) c.randomness = cases::Randomness::kSeeds;
        run_case(options, c, way, gpu.get(), expected, where, counts);
      }
    }
  }
  const Sampler gpu = make_sampler(TOKENDRAW_BACKEND_HIP, device, TOKENDRAW_ALGORITHM_AUTO);
  if (gpu == nullptr) return false;
  run_blocks(options, gpu.get(), reference.get(), info.target, counts);
  return true;
}

int run(const Options& options) {
  TokendrawBackendInfo backend = {};
  for (int32_t i = 0; i < tokendraw_get_backend_count(); ++i) {
    backend = {};
    backend.struct_size = sizeof backend;
    if (tokendraw_get_backend_info(i, &backend) == TOKENDRAW_OK && backend.backend == TOKENDRAW_BACKEND_HIP) break;
  }
  if (backend.available == 0) {
    std::printf("tokendraw-hip-selftest: no device: %s\n", backend.reason);
    return 3;
  }
  Counts counts;
  bool usable = true;
  for (int32_t device = 0; device < backend.device_count; ++device) {
    usable = run_device(options, device, &counts) && usable;
  }
  std::printf("tokendraw-hip-selftest %s: %lld cases, %lld rows, %lld failed\n", tokendraw_version_string(),
              static_cast<long long>(counts.cases), static_cast<long long>(counts.rows),
              static_cast<long long>(counts.failed));
  return usable && counts.failed == 0 && counts.cases > 0 ? 0 : 1;
}

}  // namespace
}  // namespace tokendraw::selftest

int main(int count, char** arguments) {
  tokendraw::selftest::Options options;
  for (int i = 1; i < count; ++i) {
    const bool has_value = i + 1 < count;
    if (has_value && std::strcmp(arguments[i], "--rows") == 0) {
      options.rows = std::strtoll(arguments[++i], nullptr, 10);
    } else if (has_value && std::strcmp(arguments[i], "--only") == 0) {
      options.only = arguments[++i];
    } else {
      options.rows = 0;
    }
  }
  if (options.rows < 1) {
    std::fprintf(stderr, "usage: tokendraw-hip-selftest [--rows N] [--only TEXT]\n");
    return 2;
  }
  return tokendraw::selftest::run(options);
}
