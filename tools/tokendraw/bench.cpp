// SPDX-License-Identifier: Apache-2.0
// `tokendraw bench`: time per row beside two yardsticks measured in the same run.
#include <fmt/format.h>
#include <tokendraw/tokendraw.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench_data.h"
#include "bench_measure.h"
#include "commands.h"
#include "logits_file.h"
#include "one_read.h"
#include "output_format.h"
#include "read_argument.h"
#include "sampler_options.h"
#include "terminal.h"

namespace tokendraw::cli {
namespace {

constexpr const char* kDefaultLogits = "data/real_logits_128256_bf16.npy";
constexpr const char* kRealData = "real";
constexpr int32_t kDefaultVocab = 128256;
constexpr int64_t kSyntheticRows = 24;

const std::vector<std::string> kDataNames = {kRealData, "normal1", "normal5", "ascending", "two-valued", "equal"};
const std::vector<std::string> kDtypeNames = {"bf16", "f32", "f16"};

constexpr auto kAfterTopK = TOKENDRAW_TOP_P_AFTER_TOP_K;
constexpr BenchFilter kFilters[] = {
    {"top-k+top-p", {1.0f, 50, 0.9f, 0.0f}, kAfterTopK},    {"top-k", {1.0f, 50, 1.0f, 0.0f}, kAfterTopK},
    {"top-p", {1.0f, 0, 0.9f, 0.0f}, kAfterTopK},           {"min-p", {1.0f, 0, 1.0f, 0.05f}, kAfterTopK},
    {"joint", {1.0f, 50, 0.9f, 0.0f}, TOKENDRAW_TOP_P_ALL}, {"none", {1.0f, 0, 1.0f, 0.0f}, kAfterTopK},
    {"greedy", {0.0f, 0, 1.0f, 0.0f}, kAfterTopK},
};

// What the project has goals for; the others are mixtures of these.
const std::vector<std::string> kScaledFilters = {"top-k+top-p", "top-p", "none"};

struct BenchOptions {
  std::string path;
  std::vector<std::string> data = kDataNames;
  std::vector<std::string> dtypes = kDtypeNames;
  std::vector<std::string> filters;
  int32_t vocab = kDefaultVocab;
  float seconds = 0.3f;
  SamplerChoice sampler;
  bool goals = false;
  ReportFormat format = ReportFormat::kText;
};

struct CellRow {
  std::string data, dtype;
  const BenchFilter* filter;
  int32_t vocab;
  BenchCell cell;
};

struct ScalingRow {
  std::string data, dtype;
  const BenchFilter* filter;
  int64_t rows_per_call;
  BenchScaling scaling;
};

struct Goal {
  std::string name;
  double measured;
  double limit;
  bool at_least;  // else at most
  bool met() const { return at_least ? measured >= limit : measured <= limit; }
};

struct BenchReport {
  std::vector<CellRow> cells;
  std::vector<ScalingRow> scaling;
  std::vector<Goal> goals;
  std::string device, target;
  int32_t threads = 1;
};

template <typename List>
bool contains(const List& list, const std::string& name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

TokendrawDtype dtype_named(const std::string& name) {
  return name == "f32" ? TOKENDRAW_DTYPE_F32 : name == "f16" ? TOKENDRAW_DTYPE_F16 : TOKENDRAW_DTYPE_BF16;
}

// The file that stands for real logits, if there is one.
std::optional<LogitsFile> load_real(const BenchOptions& options) {
  if (!contains(options.data, kRealData)) return std::nullopt;
  std::string path = options.path;
  if (path.empty()) {
    std::error_code ignored;
    if (!std::filesystem::exists(kDefaultLogits, ignored)) return std::nullopt;
    path = kDefaultLogits;
  }
  return load_logits(path, std::nullopt, TOKENDRAW_DTYPE_BF16);
}

BenchRows make_rows(const std::string& data, const std::optional<LogitsFile>& real, int32_t vocab,
                    TokendrawDtype dtype) {
  return data == kRealData ? make_file_rows(*real, dtype) : make_synthetic_rows(data, kSyntheticRows, vocab, dtype);
}

std::vector<const BenchFilter*> chosen_filters(const BenchOptions& options) {
  std::vector<const BenchFilter*> chosen;
  for (const BenchFilter& filter : kFilters) {
    if (options.filters.empty() || contains(options.filters, filter.name)) chosen.push_back(&filter);
  }
  return chosen;
}

// The speed that the project set itself, for what was measured of it.
std::vector<Goal> judge(const BenchReport& report) {
  std::vector<Goal> goals;
  for (const CellRow& row : report.cells) {
    const std::string filter = row.filter->name;
    const std::string name = fmt::format("{} {} {}", row.data, row.dtype, filter);
    if (row.data == kRealData && filter == "top-k+top-p") {
      goals.push_back({name + ", times one read", row.cell.ratio_to_read, 2.5, false});
      goals.push_back({name + ", times faster than sorting", row.cell.faster_than_usual, 15.0, true});
    }
    if (row.data == kRealData && (filter == "top-p" || filter == "none")) {
      goals.push_back({name + ", times one read", row.cell.ratio_to_read, 7.0, false});
    }
    if (row.data == "normal1") goals.push_back({name + ", times one read", row.cell.ratio_to_read, 20.0, false});
  }
  for (const ScalingRow& row : report.scaling) {
    goals.push_back(
        {fmt::format("{} {} {}, {} rows a call, two threads", row.data, row.dtype, row.filter->name, row.rows_per_call),
         row.scaling.speedup, 1.8, true});
  }
  return goals;
}

BenchReport measure(const BenchOptions& options, const std::optional<LogitsFile>& real) {
  BenchReport report;
  report.threads = options.sampler.threads;
  std::vector<std::string> data;
  for (const std::string& name : options.data) {
    if (name != kRealData || real) data.push_back(name);
  }
  const std::vector<const BenchFilter*> filters = chosen_filters(options);
  std::vector<const BenchFilter*> scaled;
  for (const BenchFilter* filter : filters) {
    if (contains(kScaledFilters, filter->name)) scaled.push_back(filter);
  }
  const std::vector<int64_t> calls = {2, kSyntheticRows};
  const size_t total = data.size() * options.dtypes.size() * filters.size() + calls.size() * scaled.size();
  size_t done = 0;
  ProgressBar progress;
  const auto advance = [&](const std::string& label) {
    progress.update(static_cast<double>(done++) / static_cast<double>(total), label);
  };
  for (const std::string& name : data) {
    for (const std::string& dtype : options.dtypes) {
      const BenchRows rows = make_rows(name, real, options.vocab, dtype_named(dtype));
      for (const BenchFilter* filter : filters) {
        advance(fmt::format("{} {} {}", name, dtype, filter->name));
        const auto seconds = static_cast<double>(options.seconds);
        report.cells.push_back(
            {name, dtype, filter, rows.vocab(), measure_cell(rows, *filter, options.sampler, seconds)});
      }
    }
  }
  const std::string scaling_data = real ? kRealData : data.front();
  const BenchRows rows = make_rows(scaling_data, real, options.vocab, dtype_named(options.dtypes.front()));
  for (const BenchFilter* filter : scaled) {
    for (const int64_t rows_per_call : calls) {
      advance(fmt::format("two threads, {} rows a call", rows_per_call));
      report.scaling.push_back(
          {scaling_data, options.dtypes.front(), filter, rows_per_call,
           measure_scaling(rows, *filter, options.sampler, rows_per_call, static_cast<double>(options.seconds))});
    }
  }
  report.goals = judge(report);
  return report;
}

void name_device(BenchReport& report, const BenchOptions& options) {
  TokendrawDeviceInfo device{};
  device.struct_size = sizeof device;
  require_ok(tokendraw_get_device_info(TOKENDRAW_BACKEND_CPU, 0, &device), "asking for the processor");
  report.device = device.name;
  const SamplerHandle sampler = make_sampler(options.sampler);
  TokendrawSamplerInfo info{};
  info.struct_size = sizeof info;
  require_ok(tokendraw_get_sampler_info(sampler.get(), &info), "asking for the sampler");
  report.target = info.target;
}

std::string make_text(const BenchReport& report, bool with_goals) {
  std::string text =
      fmt::format("{}, SIMD target {}, one read with {}; {}\n",
                  report.device.empty() ? "unnamed processor" : report.device, report.target, one_read_target(),
                  report.threads == 1 ? "one thread, microseconds of its CPU time"
                                      : fmt::format("{} threads, wall time", report.threads));
  text += fmt::format("{:<11} {:>7} {:<5} {:<12} {:>10} {:>9} {:>8} {:>10} {:>9}\n", "rows", "vocab", "dtype", "filter",
                      "us/row", "one read", "x read", "usual way", "x faster");
  for (const CellRow& row : report.cells) {
    text += fmt::format("{:<11} {:>7} {:<5} {:<12} {:>10.2f} {:>9.2f} {:>8.2f} {:>10.1f} {:>9.1f}\n", row.data,
                        row.vocab, row.dtype, row.filter->name, row.cell.draw_us, row.cell.one_read_us,
                        row.cell.ratio_to_read, row.cell.usual_us, row.cell.faster_than_usual);
  }
  if (!report.scaling.empty()) text += "two threads against one, wall time\n";
  if (!report.scaling.empty()) {
    text += fmt::format("{:<11} {:<5} {:<12} {:>9} {:>12} {:>12} {:>8}\n", "rows", "dtype", "filter", "rows/call",
                        "1 thread us", "2 threads us", "speedup");
  }
  for (const ScalingRow& row : report.scaling) {
    text +=
        fmt::format("{:<11} {:<5} {:<12} {:>9} {:>12.2f} {:>12.2f} {:>8.2f}\n", row.data, row.dtype, row.filter->name,
                    row.rows_per_call, row.scaling.one_thread_us, row.scaling.two_threads_us, row.scaling.speedup);
  }
  if (!with_goals) return text;
  text += "goals\n";
  for (const Goal& goal : report.goals) {
    text += fmt::format("  {:<6} {}: {:.2f}, goal {} {}\n", goal.met() ? "met" : "MISSED", goal.name, goal.measured,
                        goal.at_least ? "at least" : "at most", goal.limit);
  }
  return text;
}

std::string make_json(const BenchReport& report) {
  // Three decimals tell all that a clock can.
  const auto rounded = [](double value) { return std::round(value * 1000.0) / 1000.0; };
  nlohmann::ordered_json root;
  root["version"] = tokendraw_version_string();
  root["device"] = report.device;
  root["target"] = report.target;
  root["one_read_target"] = one_read_target();
  root["threads"] = report.threads;
  root["cells"] = nlohmann::ordered_json::array();
  for (const CellRow& row : report.cells) {
    root["cells"].push_back({{"rows", row.data},
                             {"vocab", row.vocab},
                             {"dtype", row.dtype},
                             {"filter", row.filter->name},
                             {"us_per_row", rounded(row.cell.draw_us)},
                             {"one_read_us", rounded(row.cell.one_read_us)},
                             {"ratio_to_read", rounded(row.cell.ratio_to_read)},
                             {"usual_way_us", rounded(row.cell.usual_us)},
                             {"times_faster", rounded(row.cell.faster_than_usual)},
                             {"passes", row.cell.passes}});
  }
  root["scaling"] = nlohmann::ordered_json::array();
  for (const ScalingRow& row : report.scaling) {
    root["scaling"].push_back({{"rows", row.data},
                               {"dtype", row.dtype},
                               {"filter", row.filter->name},
                               {"rows_per_call", row.rows_per_call},
                               {"one_thread_us", rounded(row.scaling.one_thread_us)},
                               {"two_threads_us", rounded(row.scaling.two_threads_us)},
                               {"speedup", rounded(row.scaling.speedup)},
                               {"passes", row.scaling.passes}});
  }
  root["goals"] = nlohmann::ordered_json::array();
  for (const Goal& goal : report.goals) {
    root["goals"].push_back({{"name", goal.name},
                             {"measured", rounded(goal.measured)},
                             {goal.at_least ? "at_least" : "at_most", goal.limit},
                             {"met", goal.met()}});
  }
  return root.dump(1) + "\n";
}

ExitCode run_bench(const BenchOptions& options) {
  if (!(options.seconds > 0.0f && options.seconds <= 600.0f)) {
    throw CliError(kExitUsage, "--time: expected more than 0 and at most 600 seconds");
  }
  const std::optional<LogitsFile> real = load_real(options);
  if (options.goals && !real) {
    throw CliError(kExitInput, fmt::format("{}: not found; the goals need real logits: name a file", kDefaultLogits));
  }
  if (!real && options.data == std::vector<std::string>{kRealData}) {
    throw CliError(kExitInput, fmt::format("{}: not found: name a file", kDefaultLogits));
  }
  BenchReport report = measure(options, real);
  name_device(report, options);
  write_output(options.format == ReportFormat::kJson ? make_json(report) : make_text(report, options.goals));
  if (!real && contains(options.data, kRealData) && options.format == ReportFormat::kText) {
    write_output(fmt::format("real logits were left out: {} was not found; name a file\n", kDefaultLogits));
  }
  if (!options.goals) return kExitOk;
  const bool met = std::all_of(report.goals.begin(), report.goals.end(), [](const Goal& goal) { return goal.met(); });
  return met ? kExitOk : kExitDifference;
}

}  // namespace

Command add_bench_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("bench", "Time per row, beside one read of it and beside sorting it");
  auto options = std::make_shared<BenchOptions>();
  options->sampler.backend = TOKENDRAW_BACKEND_CPU;
  options->sampler.threads = 1;
  std::vector<std::string> filter_names;
  for (const BenchFilter& filter : kFilters) filter_names.emplace_back(filter.name);
  app->add_option("LOGITS", options->path, fmt::format("Real logits, .npy; uint16 is bf16 [{}]", kDefaultLogits))
      ->type_name("FILE");
  const auto add_list = [app](const char* name, std::vector<std::string>& target, const std::vector<std::string>& known,
                              const char* help) {
    app->add_option(name, target, help)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::IsMember(known))
        ->type_name("LIST");
  };
  add_list("--data", options->data, kDataNames, "Which rows [all]");
  add_list("--dtypes", options->dtypes, kDtypeNames, "Of the logits [all]");
  add_list("--filters", options->filters, filter_names, "Which filters [all]");
  add_int32_option(*app, "--vocab", options->vocab, 1, 1 << 21, "Of the rows that are made [128256]");
  add_float_option(*app, "--time", options->seconds, "Seconds for each line of the table [0.3]");
  add_algorithm_option(*app, options->sampler);
  add_thread_options(*app, options->sampler);
  app->get_option("--threads")->description("CPU threads; 0: all hardware threads [1]");
  app->add_flag("--goals", options->goals, "Judge by the project's goals; exit 5 if one is missed");
  add_report_format_option(*app, options->format);
  return {app, [options] { return run_bench(*options); }};
}

}  // namespace tokendraw::cli
