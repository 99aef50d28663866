// SPDX-License-Identifier: Apache-2.0
// The options that several commands share: filters, and which sampler to make.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <memory>
#include <string>

// Declared, for its header takes seconds to read.
namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
class Option;
}  // namespace CLI

namespace tokendraw::cli {

struct FilterOptions {
  float temperature = 1.0f;
  int32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  TokendrawTopPBase top_p_base = TOKENDRAW_TOP_P_AFTER_TOP_K;
};

void add_filter_options(CLI::App& app, FilterOptions& filters);
void set_filters(TokendrawBatch& batch, const FilterOptions& filters);

struct SamplerChoice {
  TokendrawBackend backend = TOKENDRAW_BACKEND_AUTO;
  TokendrawAlgorithm algorithm = TOKENDRAW_ALGORITHM_AUTO;
  int32_t threads = 0;
  std::string cpu_target;  // empty: the best
  int32_t device = -1;     // -1: the backend's first
  TokendrawOnGpuFailure on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawGpuWay gpu_way = TOKENDRAW_GPU_WAY_AUTO;
};

void add_algorithm_option(CLI::App& app, SamplerChoice& choice);
void add_thread_options(CLI::App& app, SamplerChoice& choice);   // --threads and --cpu-target
void add_backend_options(CLI::App& app, SamplerChoice& choice);  // --backend, --device, --gpu-way
void add_gpu_failure_option(CLI::App& app, SamplerChoice& choice);

struct SamplerDeleter {
  void operator()(TokendrawSampler* sampler) const { tokendraw_destroy_sampler(sampler); }
};
using SamplerHandle = std::unique_ptr<TokendrawSampler, SamplerDeleter>;

// A GPU that cannot serve is an error, or the CPU takes its place with a note, as choice.on_gpu_failure says.
SamplerHandle make_sampler(const SamplerChoice& choice);

// As require_ok; where the CPU answered for a GPU, says so on standard error, once for each reason in turn.
void require_answer(TokendrawStatus status, const std::string& doing);

// "f32|f16|bf16" into `dtype`.
CLI::Option* add_dtype_option(CLI::App& app, TokendrawDtype& dtype, const std::string& help);
CLI::Option* add_named_dtype_option(CLI::App& app, const std::string& name, TokendrawDtype& dtype,
                                    const std::string& help);

}  // namespace tokendraw::cli
