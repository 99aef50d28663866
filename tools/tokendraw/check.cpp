// SPDX-License-Identifier: Apache-2.0
// `tokendraw check`: does every path of this machine's CPU, or of its GPUs, agree with the reference, and is the
// distribution right?
#include <fmt/format.h>
#include <tokendraw/tokendraw.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agreement.h"
#include "block_cases.h"
#include "cases.h"
#include "commands.h"
#include "distribution.h"
#include "read_argument.h"
#include "sampler_options.h"
#include "terminal.h"

namespace tokendraw::cli {
namespace {

constexpr size_t kShownDifferences = 10;
constexpr int32_t kLongestRejectionRow = 2048;
constexpr std::string_view kDistribution = "distribution/";

struct CheckOptions {
  bool quick = false;
  uint64_t seed = 0;
  std::string filter;
  std::string only_case;
  int32_t max_vocab = std::numeric_limits<int32_t>::max();
  SamplerChoice path;
  bool algorithm_given = false;
  Against against = Against::kReference;
  int64_t draws = 0;
  bool list = false;
};

constexpr Choice<Against> kAgainst[] = {
    {"reference", Against::kReference},
    {"engine", Against::kEngine},
};

bool on_cpu(const CheckOptions& options) { return options.path.backend == TOKENDRAW_BACKEND_CPU; }

bool selected(const CheckOptions& options, std::string_view id) {
  if (!options.only_case.empty()) return id == options.only_case;
  return id.find(options.filter) != std::string_view::npos;
}

// The case list with this seed.
std::vector<cases::Case> select_cases(const CheckOptions& options, uint64_t seed) {
  if (!options.only_case.empty()) {
    if (options.only_case.starts_with(kDistribution) || options.only_case.starts_with(cases::kBlocks)) return {};
    const auto c = cases::parse_case_id(options.only_case);
    if (!c) throw CliError(kExitUsage, fmt::format("--case: '{}' is no case", options.only_case));
    return {*c};
  }
  std::vector<cases::Case> chosen;
  for (const cases::Case& c : cases::list_cases({options.quick, seed, options.max_vocab})) {
    if (selected(options, cases::case_id(c))) chosen.push_back(c);
  }
  return chosen;
}

struct DistributionRun {
  const DistributionCase* c;
  TokendrawAlgorithm algorithm;
  std::string id;
};

// Algorithms that must agree have one distribution between them; `auto` stands for all unless one is asked for.
// Rejection sampling of long rows on the CPU is left out unless it is asked for: it sorts a row for each draw.
std::vector<DistributionRun> select_distribution_runs(const CheckOptions& options) {
  std::vector<TokendrawAlgorithm> algorithms = {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_REJECTION};
  if (options.algorithm_given) algorithms = {options.path.algorithm};
  if (!options.only_case.empty() && on_cpu(options)) {
    algorithms = {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE,
                  TOKENDRAW_ALGORITHM_REFERENCE, TOKENDRAW_ALGORITHM_REJECTION};
  }
  std::vector<DistributionRun> runs;
  for (const DistributionCase& c : distribution_cases()) {
    for (const TokendrawAlgorithm algorithm : algorithms) {
      const std::string id = fmt::format("{}{}/{}", kDistribution, c.name, tokendraw_algorithm_name(algorithm));
      const bool too_slow = algorithm == TOKENDRAW_ALGORITHM_REJECTION && c.vocab > kLongestRejectionRow &&
                            on_cpu(options) && options.only_case.empty() && !options.algorithm_given;
      if (selected(options, id) && c.vocab <= options.max_vocab && !too_slow) runs.push_back({&c, algorithm, id});
    }
  }
  return runs;
}

// Building blocks have no algorithms to choose from.
std::vector<cases::BlockCase> select_block_cases(const CheckOptions& options) {
  std::vector<cases::BlockCase> chosen;
  if (options.algorithm_given) return chosen;
  const bool one = !options.only_case.empty();
  for (const cases::BlockCase& c : cases::list_block_cases({options.quick && !one, options.max_vocab})) {
    if (selected(options, c.name)) chosen.push_back(c);
  }
  return chosen;
}

int32_t count_devices(TokendrawBackend backend) {
  for (int32_t i = 0; i < tokendraw_get_backend_count(); ++i) {
    TokendrawBackendInfo info{};
    info.struct_size = sizeof info;
    require_ok(tokendraw_get_backend_info(i, &info), fmt::format("asking for backend {}", i));
    if (info.backend == backend && info.available != 0) return info.device_count;
  }
  return 0;
}

// AUTO is the first GPU backend that is available, else the CPU.
TokendrawBackend resolve_backend(TokendrawBackend backend) {
  if (backend != TOKENDRAW_BACKEND_AUTO) return backend;
  for (const TokendrawBackend gpu : {TOKENDRAW_BACKEND_CUDA, TOKENDRAW_BACKEND_HIP}) {
    if (count_devices(gpu) > 0) return gpu;
  }
  return TOKENDRAW_BACKEND_CPU;
}

PathChoice choose_paths(const CheckOptions& options) {
  PathChoice paths;
  paths.backend = options.path.backend;
  paths.against = options.against;
  paths.gpu_way = options.path.gpu_way;
  if (options.path.device >= 0) paths.devices = {options.path.device};
  if (options.path.device < 0 && !on_cpu(options)) {
    for (int32_t device = 0; device < count_devices(options.path.backend); ++device) paths.devices.push_back(device);
  }
  if (options.algorithm_given) paths.algorithms = {options.path.algorithm};
  if (!options.path.cpu_target.empty()) paths.targets = {options.path.cpu_target};
  if (options.path.threads != 0) paths.threads = {options.path.threads};
  return paths;
}

std::string joined_algorithms(const PathChoice& paths) {
  std::vector<std::string> names;
  for (const TokendrawAlgorithm algorithm : paths.algorithms) names.emplace_back(tokendraw_algorithm_name(algorithm));
  return fmt::format("{}", fmt::join(names, " "));
}

std::string describe_paths(const PathChoice& paths) {
  std::string text =
      fmt::format("agreement with the {}\n  algorithms: {}\n",
                  paths.against == Against::kReference ? "reference" : "CPU's engine", joined_algorithms(paths));
  if (paths.backend == TOKENDRAW_BACKEND_CPU) {
    return text + fmt::format("  SIMD targets: {}\n  threads: {}\n", fmt::join(paths.targets, " "),
                              fmt::join(paths.threads, " "));
  }
  for (const int32_t index : paths.devices) {
    TokendrawDeviceInfo device{};
    device.struct_size = sizeof device;
    require_ok(tokendraw_get_device_info(paths.backend, index, &device), fmt::format("asking for device {}", index));
    text += fmt::format("  {} device {}: {}, {}\n", tokendraw_backend_name(paths.backend), index, device.name,
                        device.target);
  }
  return text;
}

// Returns whether all agree. With --draws it goes on with further seeds until so many comparisons are made.
bool check_agreement(const CheckOptions& options, const std::vector<cases::Case>& of_first_seed) {
  Agreement agreement(choose_paths(options));
  write_output(describe_paths(agreement.paths()));
  flush_output();
  size_t shown = 0;
  {
    ProgressBar progress;
    std::vector<cases::Case> chosen = of_first_seed;
    uint64_t seed = options.seed;
    const auto wanted = static_cast<double>(options.draws);
    for (size_t i = 0;; ++i) {
      const int64_t made = agreement.comparison_count();
      if (i == chosen.size()) {
        if (made >= options.draws || !options.only_case.empty()) break;
        chosen = select_cases(options, ++seed);
        if (chosen.empty()) break;  // the filter names a seed
        i = 0;
      }
      if (options.draws > 0 && made >= options.draws) break;
      const double part = static_cast<double>(i) / static_cast<double>(chosen.size());
      progress.update(options.draws > 0 ? static_cast<double>(made) / wanted : part, cases::case_id(chosen[i]));
      agreement.run(chosen[i]);
      for (; shown < agreement.differences().size() && shown < kShownDifferences; ++shown) {
        const Difference& difference = agreement.differences()[shown];
        progress.clear();
        write_output(fmt::format("DIFFERENCE {}\n  reproduce: {}\n", difference.what, difference.reproduce));
        flush_output();
      }
    }
  }
  const size_t differences = agreement.differences().size();
  if (differences > shown) write_output(fmt::format("({} more differences are not shown)\n", differences - shown));
  write_output(fmt::format("  {} cases, {} rows, {} comparisons: {}\n", agreement.case_count(), agreement.row_count(),
                           agreement.comparison_count(),
                           differences == 0 ? "all agree" : fmt::format("{} DIFFERENCES", differences)));
  return differences == 0;
}

std::string backend_option(const CheckOptions& options) {
  return on_cpu(options) ? "" : fmt::format(" --backend {}", tokendraw_backend_name(options.path.backend));
}

// Returns whether every test passes.
bool check_distribution(const CheckOptions& options, const std::vector<DistributionRun>& runs) {
  const int64_t draws = int64_t{1} << (options.quick ? 15 : 17);
  write_output(
      fmt::format("distribution: G-test of {} draws each, tails pooled; a right sampler fails with a chance "
                  "of {} a test, {:.1g} in all\n",
                  draws, kFalseAlarmRate, kFalseAlarmRate * static_cast<double>(runs.size())));
  flush_output();
  double smallest = 1.0;
  size_t failures = 0;
  int64_t outside = 0;
  {
    ProgressBar progress;
    for (size_t i = 0; i < runs.size(); ++i) {
      const DistributionRun& run = runs[i];
      progress.update(static_cast<double>(i) / static_cast<double>(runs.size()), run.id);
      SamplerChoice choice = options.path;
      choice.algorithm = run.algorithm;
      const SamplerHandle sampler = make_sampler(choice);
      const DistributionResult result = run_distribution_case(*run.c, sampler.get(), options.seed, draws);
      smallest = std::min(smallest, result.test.p_value);
      outside += result.test.impossible;
      const bool failed =
          !result.defect.empty() || result.test.impossible != 0 || result.test.p_value < kFalseAlarmRate;
      if (!failed) continue;
      ++failures;
      progress.clear();
      const std::string what =
          !result.defect.empty()
              ? result.defect
              : fmt::format("G = {:.1f} with {} degrees of freedom, p = {:.2g}; {} draws outside the kept set",
                            result.test.g, result.test.degrees, result.test.p_value, result.test.impossible);
      write_output(fmt::format("DIFFERENCE {}: {}\n  reproduce: tokendraw check --case {} --seed {}{}{}\n", run.id,
                               what, run.id, options.seed, options.quick ? " --quick" : "", backend_option(options)));
    }
  }
  write_output(fmt::format("  {} tests, smallest p = {:.2g}, {} draws outside the kept set: {}\n", runs.size(),
                           smallest, outside, failures == 0 ? "all pass" : fmt::format("{} FAIL", failures)));
  return failures == 0;
}

// A sampler that the building blocks are checked on.
struct BlockPath {
  std::string name;
  SamplerHandle sampler;
};

// Every number of threads, or every device. The CPU's blocks do not know SIMD targets.
std::vector<BlockPath> block_paths(const CheckOptions& options) {
  const PathChoice chosen = Agreement(choose_paths(options)).paths();
  std::vector<BlockPath> paths;
  SamplerChoice choice = options.path;
  if (on_cpu(options)) {
    for (const int32_t threads : chosen.threads) {
      choice.threads = threads;
      paths.push_back({fmt::format("threads: {}", threads), make_sampler(choice)});
    }
  } else {
    for (const int32_t device : chosen.devices) {
      choice.device = device;
      paths.push_back(
          {fmt::format("{} device {}", tokendraw_backend_name(choice.backend), device), make_sampler(choice)});
    }
  }
  return paths;
}

// Every building block on every path beside one thread of the CPU, and beside its definition. Returns whether all
// agree.
bool check_blocks(const CheckOptions& options, const std::vector<cases::BlockCase>& chosen) {
  SamplerChoice choice;
  choice.backend = TOKENDRAW_BACKEND_CPU;
  choice.threads = 1;
  const SamplerHandle one_thread = make_sampler(choice);
  choice.algorithm = TOKENDRAW_ALGORITHM_REFERENCE;
  const SamplerHandle reference = make_sampler(choice);
  const std::vector<BlockPath> paths = block_paths(options);
  write_output("building blocks: softmax, prefix sums, random numbers, filters\n");
  flush_output();
  size_t differences = 0;
  size_t comparisons = 0;
  {
    ProgressBar progress;
    for (size_t i = 0; i < chosen.size(); ++i) {
      const cases::BlockCase& c = chosen[i];
      progress.update(static_cast<double>(i) / static_cast<double>(chosen.size()), c.name);
      for (const BlockPath& path : paths) {
        std::string problem = c.compare(one_thread.get(), path.sampler.get());
        ++comparisons;
        if (problem.empty() && c.compare_with_definition) {
          problem = c.compare_with_definition(reference.get(), path.sampler.get());
          ++comparisons;
        }
        if (problem.empty() || ++differences > kShownDifferences) continue;
        progress.clear();
        write_output(fmt::format("DIFFERENCE {} ({}): {}\n  reproduce: tokendraw check --case '{}'{}\n", c.name,
                                 path.name, problem, c.name, backend_option(options)));
        flush_output();
      }
    }
  }
  write_output(fmt::format("  {} calls, compared {} times: {}\n", chosen.size(), comparisons,
                           differences == 0 ? "all agree" : fmt::format("{} DIFFERENCES", differences)));
  return differences == 0;
}

ExitCode run_check(const CheckOptions& options) {
  if (!on_cpu(options) && options.path.algorithm == TOKENDRAW_ALGORITHM_REFERENCE) {
    throw CliError(kExitUsage, fmt::format("--algorithm: {} runs on the cpu only",
                                           tokendraw_algorithm_name(options.path.algorithm)));
  }
  make_sampler(options.path);  // once before all else: is the backend there, and the device?
  const std::vector<cases::Case> chosen = select_cases(options, options.seed);
  const std::vector<DistributionRun> runs = select_distribution_runs(options);
  const std::vector<cases::BlockCase> blocks = select_block_cases(options);
  if (chosen.empty() && runs.empty() && blocks.empty()) throw CliError(kExitUsage, "no case has that name");
  if (options.list) {
    for (const cases::Case& c : chosen) write_output(cases::case_id(c) + "\n");
    for (const DistributionRun& run : runs) write_output(run.id + "\n");
    for (const cases::BlockCase& block : blocks) write_output(block.name + "\n");
    return kExitOk;
  }
  const auto start = std::chrono::steady_clock::now();
  bool passed = true;
  if (!chosen.empty()) passed = check_agreement(options, chosen);
  if (!runs.empty()) passed = check_distribution(options, runs) && passed;
  if (!blocks.empty()) passed = check_blocks(options, blocks) && passed;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  write_output(fmt::format("{} in {:.1f} s\n", passed ? "passed" : "FAILED", seconds.count()));
  return passed ? kExitOk : kExitDifference;
}

}  // namespace

Command add_check_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("check", "Compare every path of this machine with the reference");
  auto options = std::make_shared<CheckOptions>();
  options->path.backend = TOKENDRAW_BACKEND_CPU;
  app->add_flag("--quick", options->quick, "About a twentieth of the cases, a quarter of the draws");
  add_u64_option(*app, "--seed", options->seed, "Of logits, parameters and draws [0, the pinned list]");
  CLI::Option* filter =
      app->add_option("--filter", options->filter, "Only cases whose name holds this text")->type_name("NAME");
  app->add_option("--case", options->only_case, "Only this case; need not be in the list")
      ->type_name("ID")
      ->excludes(filter);
  add_int32_option(*app, "--max-vocab", options->max_vocab, 1, std::numeric_limits<int32_t>::max(),
                   "Only rows up to this length [all]");
  add_algorithm_option(*app, options->path);
  add_backend_options(*app, options->path);
  app->get_option("--device")->description("Which of a GPU backend's devices [all]");
  add_thread_options(*app, options->path);
  add_choice_option(*app, "--against", options->against, kAgainst, "Where expected answers come from [reference]");
  add_integer_option(*app, "--draws", options->draws, 1, std::numeric_limits<int64_t>::max(),
                     "Go on with further seeds until so many draws were compared [the list once]");
  app->add_flag("--list", options->list, "Print the names of the cases and stop");
  const auto run = [options, app] {
    options->path.backend = resolve_backend(options->path.backend);
    options->algorithm_given = app->get_option("--algorithm")->count() > 0;
    return run_check(*options);
  };
  return {app, run};
}

}  // namespace tokendraw::cli
