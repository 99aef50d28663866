// SPDX-License-Identifier: Apache-2.0
// Runs a case on every path of this machine (on the CPU: algorithm, SIMD target, number of threads; on a GPU:
// algorithm, device) and compares with the reference.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "case_batch.h"
#include "sampler_options.h"

namespace tokendraw::cli {

struct Difference {
  std::string what;       // one line
  std::string reproduce;  // a command
};

// What the expected answers come from: the reference, or the CPU's own engine, which is much faster on long rows.
enum class Against : uint8_t { kReference, kEngine };

// Which paths to run; an empty list means all of that kind.
struct PathChoice {
  TokendrawBackend backend = TOKENDRAW_BACKEND_CPU;  // or CUDA or HIP
  std::vector<TokendrawAlgorithm> algorithms;
  std::vector<std::string> targets;  // of the CPU
  std::vector<int32_t> threads;      // of the CPU
  std::vector<int32_t> devices;      // of a GPU
  TokendrawGpuWay gpu_way = TOKENDRAW_GPU_WAY_AUTO;
  Against against = Against::kReference;
};

class Agreement {
 public:
  explicit Agreement(const PathChoice& choice);

  // Compares token, status, kept count, kept mass and rounds bit for bit, and the log-probability within its promise:
  // - every algorithm but rejection with the reference, or with the engine;
  // - the reference with the case's own arithmetic: the token is in the kept set, the log-probability is right;
  // - rejection with the reference's kept set, and its tokens with themselves over targets and threads, or, on a GPU,
  //   with the CPU's. Against the engine, whose speed would be lost, long rows by kept set and rounds alone;
  // - small batches with themselves in reverse order, and some of them with each row alone.
  void run(const cases::Case& c);

  int64_t case_count() const { return case_count_; }
  int64_t row_count() const { return row_count_; }
  int64_t comparison_count() const { return comparison_count_; }
  const std::vector<Difference>& differences() const { return differences_; }
  const PathChoice& paths() const { return paths_; }

 private:
  struct Path {
    TokendrawAlgorithm algorithm;
    std::string target;
    int32_t threads;  // 0: all
    TokendrawBackend backend = TOKENDRAW_BACKEND_CPU;
    int32_t device = 0;
    auto operator<=>(const Path&) const = default;
  };

  bool on_cpu() const { return paths_.backend == TOKENDRAW_BACKEND_CPU; }
  Path expected_path() const;
  std::vector<Path> paths_of(TokendrawAlgorithm algorithm) const;
  std::vector<Path> paths_of_rejection(const cases::Case& c) const;
  void sample(const Path& path, const cases::CaseBatch& batch, cases::CaseOutput& output,
              cases::Outputs outputs = cases::Outputs::kAll);
  void check_reference(const cases::CaseBatch& batch, const cases::CaseOutput& reference);
  void check_rejection(const cases::CaseBatch& batch, const cases::CaseOutput& reference);
  void check_places(const cases::Case& c, const Path& path, const cases::CaseOutput& whole);
  void check_chosen(const cases::Case& c, const Path& path, const cases::CaseOutput& whole,
                    const std::vector<int64_t>& chosen);
  void report(const cases::Case& c, const Path& path, int64_t row, const std::string& what);
  bool wants(TokendrawAlgorithm algorithm) const;

  PathChoice paths_;
  std::map<Path, SamplerHandle> samplers_;
  std::vector<std::vector<float>> effective_;  // of the case at hand, by row
  int64_t case_count_ = 0, row_count_ = 0, comparison_count_ = 0;
  std::vector<Difference> differences_;
};

}  // namespace tokendraw::cli
