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
  // Of a device that need not be there; 0: one of this machine is meant
  int32_t compute_units = 0;
  int32_t wave_width = 0;
  std::string device_target;
  BiasForm bias = BiasForm::kNone;
  bool mask = false;
  bool history = false;
  ReportFormat format = ReportFormat::kText;
};

// A batch of this shape. The plan reads no array, so one word stands for all of them.
TokendrawBatch make_batch(const PlanOptions& options) {
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
  return batch;
}

// Facts of a device that need not be there, as far as they are given.
TokendrawDeviceInfo imagined_device(const PlanOptions& options) {
  const TokendrawBackend backend = options.sampler.backend;
  if (backend != TOKENDRAW_BACKEND_CUDA && backend != TOKENDRAW_BACKEND_HIP) {
    throw CliError(kExitUsage, "--compute-units or --device-target: say --backend cuda or --backend hip as well");
  }
  if (options.sampler.device >= 0) {
    throw CliError(kExitUsage, "--device: with --compute-units or --device-target no device of this machine is meant");
  }
  TokendrawDeviceInfo device{};
  device.struct_size = sizeof device;
  device.backend = backend;
  device.compute_units = options.compute_units;
  const std::string target = options.device_target.empty() ? "unknown" : options.device_target;
  // RDNA is gfx10 and later, with a major version of two digits.
  const bool cdna = backend == TOKENDRAW_BACKEND_HIP && !(target.size() == 7 && target.rfind("gfx1", 0) == 0);
  device.simd_width_f32 = options.wave_width != 0 ? options.wave_width : cdna ? 64 : 32;
  const auto end = fmt::format_to_n(device.target, sizeof device.target - 1, "{}", target);
  *end.out = '\0';
  return device;
}

std::string describe(const PlanOptions& options) {
  const TokendrawBatch batch = make_batch(options);
  const bool imagined = options.compute_units != 0 || !options.device_target.empty();
  SamplerHandle sampler;
  TokendrawDeviceInfo device{};
  if (imagined) {
    device = imagined_device(options);
  } else {
    sampler = make_sampler(options.sampler);
  }
  const auto fill = [&](char* text, size_t capacity, size_t* needed) {
    const TokendrawStatus status =
        imagined ? tokendraw_describe_device_plan(&device, options.sampler.algorithm, &batch, text, capacity, needed)
                 : tokendraw_describe_plan(sampler.get(), &batch, text, capacity, needed);
    require_ok(status, "planning");
  };
  size_t needed = 0;
  fill(nullptr, 0, &needed);
  std::string text(needed, '\0');
  fill(text.data(), text.size(), nullptr);
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
  add_backend_options(*app, options->sampler);
  constexpr int32_t kMostUnits = 65536;
  add_int32_option(*app, "--compute-units", options->compute_units, 1, kMostUnits,
                   "Plan for a GPU with so many, which need not be here [of --device-target, if gfx...]");
  app->add_option("--device-target,--target", options->device_target,
                  "That GPU's architecture, such as sm_90 or gfx1100 [unknown]")
      ->type_name("NAME");
  add_int32_option(*app, "--wave-width", options->wave_width, 32, 64,
                   "That GPU's lanes in a warp [cuda 32, hip 64 or of the target]");
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
