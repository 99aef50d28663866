// SPDX-License-Identifier: Apache-2.0
#include "agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "cli_error.h"

namespace tokendraw::cli {
namespace {

using cases::Case;
using cases::CaseBatch;
using cases::CaseOutput;
using cases::Outputs;

constexpr int32_t kLongestRow = 2048;        // longer rows are spared what costs more than it shows
constexpr int32_t kLongestRowInHaste = 300;  // the same where the engine is asked for its speed
constexpr int32_t kMaxRounds = 65;           // of rejection sampling (docs/semantics.md, section 8)
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The promise is 1e-6, then rounding to float; the rest is for the double arithmetic here.
bool logprob_close(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::fabs(a - b) <= 1.01e-6 + std::max(std::fabs(a), std::fabs(b)) * 0x1.02p-24;
}

// What differs at place `a` of one output and place `b` of another; nothing if they agree.
std::optional<std::string> compare(const CaseOutput& got, size_t a, const CaseOutput& wanted, size_t b) {
  const bool same = got.tokens[a] == wanted.tokens[b] && got.row_status[a] == wanted.row_status[b] &&
                    got.kept[a] == wanted.kept[b] && got.kept_mass[a] == wanted.kept_mass[b] &&
                    got.rounds[a] == wanted.rounds[b];
  // Two values within the promise may be twice as far apart.
  const double x = got.logprob[a], y = wanted.logprob[b];
  if (same && (logprob_close(x, y) || logprob_close(x, (x + y) / 2))) return std::nullopt;
  const auto shown = [](const CaseOutput& output, size_t i) {
    return fmt::format("token {} status {} kept {} mass {} logprob {} rounds {}", output.tokens[i],
                       output.row_status[i], output.kept[i], output.kept_mass[i], output.logprob[i], output.rounds[i]);
  };
  return fmt::format("{}, expected {}", shown(got, a), shown(wanted, b));
}

int64_t rank_of(const std::vector<float>& x, int32_t token) {
  const float value = x[static_cast<size_t>(token)];
  int64_t rank = 0;
  for (size_t id = 0; id < x.size(); ++id) {
    rank += x[id] > value || (x[id] == value && id < static_cast<size_t>(token)) ? 1 : 0;
  }
  return rank;
}

// Whether the row is greedy: docs/semantics.md, section 3.
bool is_greedy(float temperature) {
  return temperature == 0.0f || 1.44269502162933349609375f / temperature == kInfinity;
}

// ln of the token's probability under softmax(x / T) in doubles, from the definition. A logit so far below the largest
// that no float holds the difference has weight 0 by the contract, at any temperature.
double expected_logprob(const std::vector<float>& x, int32_t token, float temperature) {
  const float max = *std::max_element(x.begin(), x.end());
  const auto count_if = [&](auto&& predicate) {
    return static_cast<double>(std::count_if(x.begin(), x.end(), predicate));
  };
  if (max == kInfinity) return -std::log(count_if([](float v) { return v == kInfinity; }));
  if (temperature == kInfinity) return -std::log(count_if([max](float v) { return v - max != -kInfinity; }));
  const double t = is_greedy(temperature) ? 1.0 : static_cast<double>(temperature);
  double sum = 0.0;
  for (const float v : x) {
    if (v - max != -kInfinity) sum += std::exp((static_cast<double>(v) - static_cast<double>(max)) / t);
  }
  return (static_cast<double>(x[static_cast<size_t>(token)]) - static_cast<double>(max)) / t - std::log(sum);
}

// Whether the token, if there is one, could have been drawn: it is among the first `kept` of the order.
std::optional<std::string> check_token(const CaseBatch& batch, const std::vector<float>& x, const CaseOutput& output,
                                       size_t r) {
  const int32_t token = output.tokens[r];
  if (token < 0) return std::nullopt;
  if (token >= batch.the_case().vocab) return fmt::format("token {} is outside the vocabulary", token);
  if (x[static_cast<size_t>(token)] == -kInfinity) return fmt::format("token {} was removed", token);
  const int64_t rank = rank_of(x, token);
  if (rank >= output.kept[r]) return fmt::format("token {} has rank {} and {} are kept", token, rank, output.kept[r]);
  const double wanted = expected_logprob(x, token, batch.setting(static_cast<int64_t>(r)).temperature);
  if (!logprob_close(output.logprob[r], wanted)) {
    return fmt::format("token {} has logprob {}, expected {}", token, output.logprob[r], wanted);
  }
  return std::nullopt;
}

// Whether rejection took as many rounds as it may.
std::optional<std::string> check_rounds(const CaseBatch& batch, const CaseOutput& output, size_t r) {
  const bool draws = output.tokens[r] >= 0 && !is_greedy(batch.setting(static_cast<int64_t>(r)).temperature);
  const int32_t rounds = output.rounds[r];
  if (draws ? rounds >= 1 && rounds <= kMaxRounds : rounds == 0) return std::nullopt;
  return fmt::format("{} rounds, expected {}", rounds, draws ? "1 to 65" : "none");
}

}  // namespace

Agreement::Agreement(const PathChoice& choice) : paths_(choice) {
  if (paths_.algorithms.empty()) {
    paths_.algorithms = {TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE, TOKENDRAW_ALGORITHM_AUTO,
                         TOKENDRAW_ALGORITHM_REJECTION};
  }
  if (paths_.targets.empty()) {
    for (int32_t i = 0; const char* name = tokendraw_get_cpu_target_name(i); ++i) paths_.targets.emplace_back(name);
  }
  if (paths_.threads.empty()) paths_.threads = {1, 2, 7};
  if (paths_.devices.empty()) paths_.devices = {0};
}

Agreement::Path Agreement::expected_path() const {
  if (paths_.against == Against::kEngine) return {TOKENDRAW_ALGORITHM_AUTO, "", 0};
  return {TOKENDRAW_ALGORITHM_REFERENCE, paths_.targets.front(), 1};
}

std::vector<Agreement::Path> Agreement::paths_of(TokendrawAlgorithm algorithm) const {
  std::vector<Path> paths;
  if (!on_cpu()) {
    for (const int32_t device : paths_.devices) paths.push_back({algorithm, "", 0, paths_.backend, device});
    return paths;
  }
  for (const std::string& target : paths_.targets) {
    for (const int32_t threads : paths_.threads) paths.push_back({algorithm, target, threads});
  }
  return paths;
}

bool Agreement::wants(TokendrawAlgorithm algorithm) const {
  return std::find(paths_.algorithms.begin(), paths_.algorithms.end(), algorithm) != paths_.algorithms.end();
}

void Agreement::sample(const Path& path, const CaseBatch& batch, CaseOutput& output, Outputs outputs) {
  SamplerHandle& sampler = samplers_[path];
  if (!sampler) {
    SamplerChoice choice;
    choice.backend = path.backend;
    choice.device = path.device;
    choice.algorithm = path.algorithm;
    choice.cpu_target = path.target;
    choice.threads = path.threads;
    choice.gpu_way = paths_.gpu_way;
    sampler = make_sampler(choice);
  }
  const TokendrawBatch raw = batch.batch(output, outputs);
  require_ok(tokendraw_sample_host(sampler.get(), &raw),
             fmt::format("case {}, {}", cases::case_id(batch.the_case()), tokendraw_algorithm_name(path.algorithm)));
  // A sampler keeps the largest workspace that it needed; sixty of them would keep gigabytes.
  // One on a GPU stays: there are few, and opening a device takes long.
  if (batch.the_case().vocab > kLongestRow && path.backend == TOKENDRAW_BACKEND_CPU) samplers_.erase(path);
}

void Agreement::report(const Case& c, const Path& path, int64_t row, const std::string& what) {
  const std::string id = cases::case_id(c);
  const char* algorithm = tokendraw_algorithm_name(path.algorithm);
  std::string command = fmt::format("tokendraw check --case {}", id);
  std::string place = fmt::format("{}, threads {}", path.target, path.threads);
  if (path.backend != TOKENDRAW_BACKEND_CPU) {
    const char* backend = tokendraw_backend_name(path.backend);
    place = fmt::format("{} device {}", backend, path.device);
    command += fmt::format(" --backend {} --device {} --algorithm {}", backend, path.device, algorithm);
    if (paths_.gpu_way != TOKENDRAW_GPU_WAY_AUTO) {
      command += fmt::format(" --gpu-way {}", tokendraw_gpu_way_name(paths_.gpu_way));
    }
  } else if (path.algorithm != TOKENDRAW_ALGORITHM_REFERENCE) {
    command += fmt::format(" --algorithm {} --cpu-target {} --threads {}", algorithm, path.target, path.threads);
  }
  differences_.push_back({fmt::format("case {} row {}: {} on {}: {}", id, row, algorithm, place, what), command});
}

void Agreement::run(const Case& c) {
  const CaseBatch batch(c);
  const auto rows = static_cast<size_t>(batch.rows());
  ++case_count_;
  row_count_ += batch.rows();
  const bool against_reference = paths_.against == Against::kReference;
  const bool handed_in = c.randomness == cases::Randomness::kRandomU64 || c.randomness == cases::Randomness::kRandomF32;
  const bool rejection = wants(TOKENDRAW_ALGORITHM_REJECTION) && !handed_in;
  effective_.clear();
  const bool arithmetic = against_reference || (rejection && (on_cpu() || c.vocab <= kLongestRowInHaste));
  for (int64_t r = 0; r < batch.rows() && arithmetic; ++r) {
    effective_.push_back(batch.effective_logits(r));
  }

  CaseOutput expected;
  sample(expected_path(), batch, expected);
  if (against_reference) check_reference(batch, expected);
  for (const TokendrawAlgorithm algorithm : paths_.algorithms) {
    if (algorithm == TOKENDRAW_ALGORITHM_REJECTION) continue;
    for (const Path& path : paths_of(algorithm)) {
      for (const Outputs outputs : {Outputs::kAll, Outputs::kTokens}) {
        if (outputs == Outputs::kTokens && algorithm != TOKENDRAW_ALGORITHM_CANDIDATES) continue;
        CaseOutput output;
        sample(path, batch, output, outputs);
        if (outputs == Outputs::kTokens) output.take_unasked(expected);
        for (size_t r = 0; r < rows; ++r) {
          const auto what = compare(output, r, expected, r);
          if (what)
            report(c, path, static_cast<int64_t>(r), (outputs == Outputs::kTokens ? "tokens alone: " : "") + *what);
        }
        comparison_count_ += batch.rows();
      }
    }
  }
  if (wants(TOKENDRAW_ALGORITHM_AUTO)) {
    check_places(c,
                 on_cpu() ? Path{TOKENDRAW_ALGORITHM_AUTO, paths_.targets.front(), 1}
                          : paths_of(TOKENDRAW_ALGORITHM_AUTO).front(),
                 expected);
  }
  if (rejection) check_rejection(batch, expected);
}

void Agreement::check_reference(const CaseBatch& batch, const CaseOutput& reference) {
  const Path path{TOKENDRAW_ALGORITHM_REFERENCE, paths_.targets.front(), 1};
  for (size_t r = 0; r < effective_.size(); ++r) {
    if (const auto what = check_token(batch, effective_[r], reference, r)) {
      report(batch.the_case(), path, static_cast<int64_t>(r), *what);
    }
  }
  if (on_cpu()) comparison_count_ += batch.rows();  // the count of a GPU's check is that of the GPU's draws
}

std::vector<Agreement::Path> Agreement::paths_of_rejection(const Case& c) const {
  const bool long_rows = c.vocab > kLongestRow;
  std::vector<Path> paths;
  if (!on_cpu()) {
    // The CPU's draw first, as the measure of the others. It takes as long as the reference's.
    if (c.vocab <= kLongestRowInHaste || paths_.against == Against::kReference) {
      paths.push_back({TOKENDRAW_ALGORITHM_REJECTION, paths_.targets.front(), 1});
    }
    for (const Path& path : paths_of(TOKENDRAW_ALGORITHM_REJECTION)) paths.push_back(path);
    return paths;
  }
  // Long rows take many reads each: one target and two numbers of threads will do.
  const size_t targets = long_rows ? 1 : paths_.targets.size();
  const size_t thread_counts = long_rows ? std::min<size_t>(2, paths_.threads.size()) : paths_.threads.size();
  for (size_t target = 0; target < targets; ++target) {
    for (size_t threads = 0; threads < thread_counts; ++threads) {
      paths.push_back({TOKENDRAW_ALGORITHM_REJECTION, paths_.targets[target], paths_.threads[threads]});
    }
  }
  return paths;
}

void Agreement::check_rejection(const CaseBatch& batch, const CaseOutput& reference) {
  const Case& c = batch.the_case();
  std::optional<CaseOutput> first;
  bool places_checked = false;
  for (const Path& path : paths_of_rejection(c)) {
    CaseOutput output;
    sample(path, batch, output);
    const bool counts = path.backend == paths_.backend;
    if (counts) comparison_count_ += batch.rows();
    // Another token than the reference's, from the same set.
    CaseOutput expected = first ? *first : reference;
    for (size_t r = 0; r < output.tokens.size() && !first; ++r) {
      if (reference.tokens[r] < 0 || output.tokens[r] < 0) continue;
      expected.tokens[r] = output.tokens[r];
      expected.logprob[r] = output.logprob[r];
      expected.rounds[r] = output.rounds[r];
    }
    for (size_t r = 0; r < output.tokens.size(); ++r) {
      const auto row = static_cast<int64_t>(r);
      if (const auto what = compare(output, r, expected, r)) report(c, path, row, *what);
      if (first) continue;
      if (r < effective_.size()) {
        if (const auto what = check_token(batch, effective_[r], output, r)) report(c, path, row, *what);
      }
      if (const auto what = check_rounds(batch, output, r)) report(c, path, row, *what);
    }
    if (counts && !places_checked) check_places(c, path, output);
    places_checked = places_checked || counts;
    if (!first) first = std::move(output);
  }
}

// A row's token depends neither on its place in the batch nor on its neighbours.
void Agreement::check_places(const Case& c, const Path& path, const CaseOutput& whole) {
  if (c.vocab > kLongestRow) return;
  std::vector<int64_t> reversed(whole.tokens.size());
  std::iota(reversed.rbegin(), reversed.rend(), int64_t{0});
  check_chosen(c, path, whole, reversed);
  if (case_count_ % 8 != 0 || c.vocab > 300) return;
  for (int64_t row = 0; row < static_cast<int64_t>(whole.tokens.size()); ++row) check_chosen(c, path, whole, {row});
}

void Agreement::check_chosen(const Case& c, const Path& path, const CaseOutput& whole,
                             const std::vector<int64_t>& chosen) {
  const CaseBatch batch(c, chosen);
  CaseOutput output;
  sample(path, batch, output);
  comparison_count_ += batch.rows();
  for (size_t r = 0; r < chosen.size(); ++r) {
    if (const auto what = compare(output, r, whole, static_cast<size_t>(chosen[r]))) {
      report(c, path, chosen[r], fmt::format("at place {} of a batch of {}: {}", r, chosen.size(), *what));
    }
  }
}

}  // namespace tokendraw::cli
