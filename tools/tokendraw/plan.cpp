// SPDX-License-Identifier: Apache-2.0
// `tokendraw plan`: what would run for a batch, and why. No logits are needed.
#include <fmt/format.h>
#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "output_format.h"
#include "sampler_options.h"
#include "terminal.h"

namespace tokendraw::cli {
namespace {

enum class BiasForm { kNone, kDense, kSparse };

constexpr Choice<BiasForm> kBiasForms[] = {
    {"none", BiasForm::kNone},
    {"dense", BiasForm::kDense},
    {"sparse", BiasForm::kSparse},
};

struct PlanOptions {
  int32_t vocab = 0;
  int64_t batch = 1;
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  FilterOptions filters;
  SamplerChoice sampler;
  std::string device = "cpu";
  BiasForm bias = BiasForm::kNone;
  bool mask = false;
  bool history = false;
  ReportFormat format = ReportFormat::kText;
};

// Devices are named by their backend, "cpu". A name of hardware that no backend of this build knows is refused, since
// a plan made up for it would be worth nothing.
TokendrawBackend find_device(const std::string& name) {
  std::vector<std::string> known;
  for (int32_t i = 0; i < tokendraw_get_backend_count(); ++i) {
    TokendrawBackendInfo info{};
    info.struct_size = sizeof info;
    require_ok(tokendraw_get_backend_info(i, &info), fmt::format("asking for backend {}", i));
    if (info.available == 0) continue;
    known.emplace_back(tokendraw_backend_name(info.backend));
    if (known.back() == name) return info.backend;
  }
  throw CliError(kExitUsage, fmt::format("--device: this build has no backend for '{}'; known devices: {}", name,
                                         fmt::join(known, ", ")));
}

std::string describe(const PlanOptions& options) {
  SamplerChoice choice = options.sampler;
  choice.backend = find_device(options.device);
  const SamplerHandle sampler = make_sampler(choice);

  // The plan reads no array, so one word stands for all of them.
  alignas(64) static uint64_t word = 0;
  const void* any = &word;
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = any;
  batch.dtype = options.dtype;
  batch.vocab = options.vocab;
  batch.rows = options.batch;
  batch.tokens = reinterpret_cast<int32_t*>(&word);
  set_filters(batch, options.filters);
  if (options.mask) {
    batch.mask = static_cast<const uint32_t*>(any);
    batch.mask_row_stride = (static_cast<int64_t>(options.vocab) + 31) / 32;
  }
  if (options.bias == BiasForm::kDense) {
    batch.bias = static_cast<const float*>(any);
    batch.bias_row_stride = options.vocab;
  }
  if (options.bias == BiasForm::kSparse) {
    batch.bias_ids = static_cast<const int32_t*>(any);
    batch.bias_values = static_cast<const float*>(any);
    batch.bias_offsets = static_cast<const int64_t*>(any);
    batch.bias_entries = options.batch;
  }
  if (options.history) {
    batch.history_ids = static_cast<const int32_t*>(any);
    batch.history_offsets = static_cast<const int64_t*>(any);
    batch.history_entries = options.batch;
  }

  size_t needed = 0;
  require_ok(tokendraw_describe_plan(sampler.get(), &batch, nullptr, 0, &needed), "planning");
  std::string text(needed, '\0');
  require_ok(tokendraw_describe_plan(sampler.get(), &batch, text.data(), text.size(), &needed), "planning");
  text.resize(text.find('\0'));
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

// The lines "key: value" as one object.
std::string as_json(std::string_view text) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const size_t value = std::min(line.find_first_not_of(' ', colon + 1), line.size());
    object[std::string(line.substr(0, colon))] = std::string(line.substr(value));
  }
  return dump_json(object) + "\n";
}

}  // namespace

Command add_plan_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("plan", "What would run for a batch, and why; needs no logits");
  auto options = std::make_shared<PlanOptions>();
  constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();
  add_int32_option(*app, "--vocab", options->vocab, 1, 1 << 21, "Tokens in a row")->required();
  add_integer_option(*app, "--batch", options->batch, 1, kMostRows, "Rows [1]");
  add_dtype_option(*app, options->dtype, "Of the logits [f32]");
  add_filter_options(*app, options->filters);
  app->add_flag("--mask", options->mask, "With a token mask for each row");
  add_choice_option(*app, "--bias", options->bias, kBiasForms, "With a bias for each row [none]");
  app->add_flag("--history", options->history, "With penalties on a history");
  app->add_option("--device", options->device, "Where it would run: a device that this build knows [cpu]")
      ->type_name("NAME");
  add_algorithm_option(*app, options->sampler);
  add_thread_options(*app, options->sampler);
  add_report_format_option(*app, options->format);
  const auto run = [options] {
    const std::string text = describe(*options);
    write_output(options->format == ReportFormat::kJson ? as_json(text) : text);
    return kExitOk;
  };
  return {app, run};
}

}  // namespace tokendraw::cli
