// SPDX-License-Identifier: Apache-2.0
#include "sampler_options.h"

#include <fmt/format.h>

#include <limits>

#include "cli_error.h"
#include "read_argument.h"
#include "terminal.h"

namespace tokendraw::cli {
namespace {

constexpr int32_t kMaxThreads = 256;

constexpr Choice<TokendrawTopPBase> kBases[] = {
    {"after-top-k", TOKENDRAW_TOP_P_AFTER_TOP_K},
    {"all", TOKENDRAW_TOP_P_ALL},
    {"after-all", TOKENDRAW_TOP_P_AFTER_ALL},
};
constexpr Choice<TokendrawAlgorithm> kAlgorithms[] = {
    {"auto", TOKENDRAW_ALGORITHM_AUTO},           {"candidates", TOKENDRAW_ALGORITHM_CANDIDATES},
    {"refine", TOKENDRAW_ALGORITHM_REFINE},       {"reference", TOKENDRAW_ALGORITHM_REFERENCE},
    {"rejection", TOKENDRAW_ALGORITHM_REJECTION},
};
constexpr Choice<TokendrawBackend> kBackends[] = {
    {"auto", TOKENDRAW_BACKEND_AUTO},
    {"cpu", TOKENDRAW_BACKEND_CPU},
    {"cuda", TOKENDRAW_BACKEND_CUDA},
    {"hip", TOKENDRAW_BACKEND_HIP},
};
constexpr Choice<TokendrawGpuWay> kGpuWays[] = {
    {"auto", TOKENDRAW_GPU_WAY_AUTO},
    {"block", TOKENDRAW_GPU_WAY_BLOCK},
    {"small-block", TOKENDRAW_GPU_WAY_SMALL_BLOCK},
    {"split", TOKENDRAW_GPU_WAY_SPLIT},
    {"cluster", TOKENDRAW_GPU_WAY_CLUSTER},
};
constexpr Choice<TokendrawOnGpuFailure> kGpuFailures[] = {
    {"error", TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR},
    {"use-cpu", TOKENDRAW_ON_GPU_FAILURE_USE_CPU},
};
constexpr Choice<TokendrawDtype> kDtypes[] = {
    {"f32", TOKENDRAW_DTYPE_F32},
    {"f16", TOKENDRAW_DTYPE_F16},
    {"bf16", TOKENDRAW_DTYPE_BF16},
};

}  // namespace

void add_filter_options(CLI::App& app, FilterOptions& filters) {
  constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
  constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();
  add_float_option(app, "--temperature", filters.temperature, "Scales the logits first; 0 is greedy [1]");
  add_int32_option(app, "--top-k", filters.top_k, kLowest, kHighest, "Keep the K best tokens; <= 0: off [0]");
  add_float_option(app, "--top-p", filters.top_p, "Keep the shortest prefix with this share; >= 1: off [1]");
  add_float_option(app, "--min-p", filters.min_p, "Keep weights >= this times the largest; <= 0: off [0]");
  add_choice_option(app, "--top-p-base", filters.top_p_base, kBases, "What top-p is a share of [after-top-k]");
}

void set_filters(TokendrawBatch& batch, const FilterOptions& filters) {
  batch.temperature = filters.temperature;
  batch.top_k = filters.top_k;
  batch.top_p = filters.top_p;
  batch.min_p = filters.min_p;
  batch.top_p_base = filters.top_p_base;
}

void add_algorithm_option(CLI::App& app, SamplerChoice& choice) {
  add_choice_option(app, "--algorithm", choice.algorithm, kAlgorithms, "How the token is found [auto]");
}

void add_thread_options(CLI::App& app, SamplerChoice& choice) {
  add_int32_option(app, "--threads", choice.threads, 0, kMaxThreads, "CPU threads; 0: all hardware threads [0]");
  app.add_option("--cpu-target", choice.cpu_target, "SIMD target by name, see 'tokendraw info' [the best]")
      ->type_name("NAME");
}

void add_backend_options(CLI::App& app, SamplerChoice& choice) {
  add_choice_option(app, "--backend", choice.backend, kBackends,
                    fmt::format("Where to run [{}]", tokendraw_backend_name(choice.backend)));
  add_int32_option(app, "--device", choice.device, 0, std::numeric_limits<int32_t>::max(),
                   "Which of the backend's devices, see 'tokendraw info' [the first]");
  add_choice_option(app, "--gpu-way", choice.gpu_way, kGpuWays, "Which blocks of a GPU work on a row [auto]");
}

void add_gpu_failure_option(CLI::App& app, SamplerChoice& choice) {
  add_choice_option(app, "--on-gpu-failure", choice.on_gpu_failure, kGpuFailures,
                    "What becomes of a draw that the GPU cannot do [error]");
}

SamplerHandle make_sampler(const SamplerChoice& choice) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = choice.backend;
  options.algorithm = choice.algorithm;
  options.threads = choice.threads;
  options.device = choice.device;
  options.on_gpu_failure = choice.on_gpu_failure;
  options.gpu_way = choice.gpu_way;
  options.cpu_target = choice.cpu_target.empty() ? nullptr : choice.cpu_target.c_str();
  TokendrawSampler* sampler = nullptr;
  const TokendrawStatus status = tokendraw_create_sampler(&options, &sampler);
  SamplerHandle handle(sampler);
  require_answer(status, "creating the sampler");
  return handle;
}

void require_answer(TokendrawStatus status, const std::string& doing) {
  require_ok(status, doing);
  if (status != TOKENDRAW_OK_CPU_FALLBACK) return;
  static std::string last_note;
  const std::string note = fmt::format("{}: {}", doing, tokendraw_last_error_message());
  if (note != last_note) print_note(note);
  last_note = note;
}

CLI::Option* add_dtype_option(CLI::App& app, TokendrawDtype& dtype, const std::string& help) {
  return add_named_dtype_option(app, "--dtype", dtype, help);
}

CLI::Option* add_named_dtype_option(CLI::App& app, const std::string& name, TokendrawDtype& dtype,
                                    const std::string& help) {
  return add_choice_option(app, name, dtype, kDtypes, help);
}

}  // namespace tokendraw::cli
