// SPDX-License-Identifier: Apache-2.0
// Part of tokendraw.hpp: the sampler.
#ifndef TOKENDRAW_CPP_SAMPLER_HPP_
#define TOKENDRAW_CPP_SAMPLER_HPP_

#include <tokendraw/cpp/batch.hpp>
#include <tokendraw/cpp/devices.hpp>
#include <tokendraw/cpp/requests.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tokendraw {

// All that can be known of one row's draw; see the outputs of TokendrawBatch.
struct SampledRow {
  int32_t token = -1;      // -1: none
  uint32_t status = 0;     // TokendrawRowStatus bits
  int64_t kept = 0;        // tokens that could have been drawn
  uint64_t kept_mass = 0;  // their summed weight; the heaviest token weighs 2^42
  float logprob = 0.0f;    // NaN without a token
  int32_t rounds = 0;      // of algorithm rejection; 0 of all others
};

// As TokendrawSamplerOptions, defaults included.
struct SamplerOptions {
  Backend backend = Backend::kAuto;
  int32_t device = -1;
  Algorithm algorithm = Algorithm::kAuto;
  int32_t threads = 0;
  OnGpuFailure on_gpu_failure = OnGpuFailure::kUseCpu;
  const char* cpu_target = nullptr;
  GpuWay gpu_way = GpuWay::kAuto;
};

struct SamplerInfo {
  Backend backend = Backend::kAuto;
  int32_t device = 0;
  Algorithm algorithm = Algorithm::kAuto;
  int32_t threads = 0;
  char target[32] = {};
};

// What a sampler on a device with these facts would run for this batch; the device need not be there. Allocates.
// Errors: those of Batch::to_c and of tokendraw_describe_device_plan, and OUT_OF_MEMORY.
inline Result<std::string> try_describe_device_plan(const DeviceInfo& device, Algorithm algorithm,
                                                    const Batch& batch) noexcept {
  return detail::without_exceptions<std::string>([&]() -> Result<std::string> {
    const Result<TokendrawBatch> c = batch.to_c();
    if (!c) return c.error();
    TokendrawDeviceInfo info = {};
    info.struct_size = sizeof info;
    info.backend = TokendrawBackend(device.backend);
    static_cast<void>(std::snprintf(info.target, sizeof info.target, "%s", device.target.c_str()));
    info.compute_units = device.compute_units;
    info.simd_width_f32 = device.simd_width_f32;
    const auto describe = [&](char* text, size_t capacity, size_t* needed) {
      return tokendraw_describe_device_plan(&info, TokendrawAlgorithm(algorithm), &*c, text, capacity, needed);
    };
    size_t needed = 0;
    if (const Status status = describe(nullptr, 0, &needed); !is_success(status)) return detail::last_error(status);
    std::string text(needed, '\0');
    if (const Status status = describe(text.data(), needed, nullptr); !is_success(status))
      return detail::last_error(status);
    text.resize(needed - 1);  // without the zero at the end
    return text;
  });
}

// Owns a TokendrawSampler. Moved, not copied; a moved-from sampler answers INVALID_SAMPLER until it is assigned to.
class Sampler {
 public:
  // Errors: as tokendraw_create_sampler. The status of a success may be TOKENDRAW_OK_CPU_FALLBACK.
  static Result<Sampler> try_create(const SamplerOptions& options = {}) noexcept {
    TokendrawSamplerOptions c = {};
    tokendraw_init_sampler_options(&c);
    c.backend = TokendrawBackend(options.backend);
    c.device = options.device;
    c.algorithm = TokendrawAlgorithm(options.algorithm);
    c.threads = options.threads;
    c.on_gpu_failure = TokendrawOnGpuFailure(options.on_gpu_failure);
    c.cpu_target = options.cpu_target;
    c.gpu_way = TokendrawGpuWay(options.gpu_way);
    TokendrawSampler* sampler = nullptr;
    const Status status = tokendraw_create_sampler(&c, &sampler);
    if (!is_success(status)) return detail::last_error(status);
    return Result<Sampler>(Sampler(sampler), detail::last_error(status));
  }

  // Takes over a sampler of the C API; nullptr is allowed.
  static Sampler adopt(TokendrawSampler* sampler) noexcept { return Sampler(sampler); }

  Sampler(Sampler&& other) noexcept : sampler_(std::exchange(other.sampler_, nullptr)) {}
  Sampler& operator=(Sampler&& other) noexcept {
    tokendraw_destroy_sampler(std::exchange(sampler_, std::exchange(other.sampler_, nullptr)));
    return *this;
  }
  ~Sampler() { tokendraw_destroy_sampler(sampler_); }

  TokendrawSampler* get() const noexcept { return sampler_; }

  // Errors: INVALID_SAMPLER.
  Result<SamplerInfo> try_info() const noexcept {
    TokendrawSamplerInfo c = {};
    c.struct_size = sizeof c;
    const Status status = tokendraw_get_sampler_info(sampler_, &c);
    if (!is_success(status)) return detail::last_error(status);
    SamplerInfo info{Backend(c.backend), c.device, Algorithm(c.algorithm), c.threads, {}};
    static_cast<void>(std::snprintf(info.target, sizeof info.target, "%s", c.target));
    return info;
  }

  // tokendraw_sample_host: everything in host memory (on a GPU the logits may lie in device memory), the workspace kept
  // in the sampler. Allocates only if that must grow. The status of a success may be TOKENDRAW_OK_CPU_FALLBACK.
  // Errors: those of Batch::to_c and of tokendraw_sample_host.
  Result<void> try_sample(const Batch& batch) noexcept {
    const Result<TokendrawBatch> c = batch.to_c();
    if (!c) return c.error();
    return detail::last_error(tokendraw_sample_host(sampler_, &*c));
  }

  // tokendraw_sample: the caller's workspace of try_workspace_bytes() bytes. On a GPU the workspace and every span of
  // the batch are device memory (Logits::raw, Batch::params_memory) and the call is asynchronous on the caller's
  // stream. Allocates nothing. The status of a success may be TOKENDRAW_OK_CPU_FALLBACK. Errors: those of Batch::to_c
  // and of tokendraw_sample.
  Result<void> try_sample(const Batch& batch, std::span<std::byte> workspace, void* stream = nullptr) noexcept {
    const Result<TokendrawBatch> c = batch.to_c();
    if (!c) return c.error();
    return detail::last_error(tokendraw_sample(sampler_, &*c, workspace.data(), workspace.size(), stream));
  }

  // Errors: those of Batch::to_c and of tokendraw_get_workspace_bytes.
  Result<size_t> try_workspace_bytes(const Batch& batch) const noexcept {
    const Result<TokendrawBatch> c = batch.to_c();
    if (!c) return c.error();
    size_t bytes = 0;
    const Status status = tokendraw_get_workspace_bytes(sampler_, &*c, &bytes);
    if (!is_success(status)) return detail::last_error(status);
    return bytes;
  }

  // One token for each of `requests`, from as many rows of logits: logits [requests.size(), vocab], where vocab
  // is found from the length unless `logits` says it. -1 for a row without a token. Allocates.
  // Errors: those of RequestColumns::try_assign and of try_sample(Batch).
  Result<std::vector<int32_t>> try_sample(const Logits& logits, std::span<const SamplingParams> requests,
                                          TopPBase top_p_base = TopPBase::kAfterTopK) noexcept {
    return detail::without_exceptions<std::vector<int32_t>>([&]() -> Result<std::vector<int32_t>> {
      std::vector<int32_t> tokens(requests.size());
      const Result<void> done = sample_requests(logits, requests, top_p_base, {.tokens = tokens});
      if (!done) return done.error();
      return {std::move(tokens), done.error()};
    });
  }

  // The same with all that is known of every row's draw.
  Result<std::vector<SampledRow>> try_sample_rows(const Logits& logits, std::span<const SamplingParams> requests,
                                                  TopPBase top_p_base = TopPBase::kAfterTopK) noexcept {
    return detail::without_exceptions<std::vector<SampledRow>>([&]() -> Result<std::vector<SampledRow>> {
      const size_t rows = requests.size();
      std::vector<int32_t> tokens(rows);
      std::vector<uint32_t> row_status(rows);
      std::vector<int64_t> kept(rows);
      std::vector<uint64_t> kept_mass(rows);
      std::vector<float> logprob(rows);
      std::vector<int32_t> rounds(rows);
      const Result<void> done = sample_requests(logits, requests, top_p_base,
                                                {.tokens = tokens,
                                                 .row_status = row_status,
                                                 .kept = kept,
                                                 .kept_mass = kept_mass,
                                                 .logprob = logprob,
                                                 .rounds = rounds});
      if (!done) return done.error();
      std::vector<SampledRow> result(rows);
      for (size_t r = 0; r < rows; ++r)
        result[r] = {tokens[r], row_status[r], kept[r], kept_mass[r], logprob[r], rounds[r]};
      return {std::move(result), done.error()};
    });
  }

  // What would run for this batch, as "key: value" lines. Allocates.
  // Errors: those of Batch::to_c and of tokendraw_describe_plan, and OUT_OF_MEMORY.
  Result<std::string> try_describe_plan(const Batch& batch) const noexcept {
    return detail::without_exceptions<std::string>([&]() -> Result<std::string> {
      const Result<TokendrawBatch> c = batch.to_c();
      if (!c) return c.error();
      size_t needed = 0;
      if (const Status status = tokendraw_describe_plan(sampler_, &*c, nullptr, 0, &needed); !is_success(status))
        return detail::last_error(status);
      std::string text(needed, '\0');
      if (const Status status = tokendraw_describe_plan(sampler_, &*c, text.data(), needed, nullptr);
          !is_success(status))
        return detail::last_error(status);
      text.resize(needed - 1);  // without the zero at the end
      return text;
    });
  }

#if TOKENDRAW_CPP_EXCEPTIONS
  explicit Sampler(const SamplerOptions& options = {}) : Sampler(try_create(options).value()) {}

  SamplerInfo info() const { return try_info().value(); }
  void sample(const Batch& batch) { try_sample(batch).value(); }
  void sample(const Batch& batch, std::span<std::byte> workspace, void* stream = nullptr) {
    try_sample(batch, workspace, stream).value();
  }
  size_t workspace_bytes(const Batch& batch) const { return try_workspace_bytes(batch).value(); }
  std::vector<int32_t> sample(const Logits& logits, std::span<const SamplingParams> requests,
                              TopPBase top_p_base = TopPBase::kAfterTopK) {
    return try_sample(logits, requests, top_p_base).value();
  }
  std::vector<SampledRow> sample_rows(const Logits& logits, std::span<const SamplingParams> requests,
                                      TopPBase top_p_base = TopPBase::kAfterTopK) {
    return try_sample_rows(logits, requests, top_p_base).value();
  }
  std::string describe_plan(const Batch& batch) const { return try_describe_plan(batch).value(); }
#endif

 private:
  explicit Sampler(TokendrawSampler* sampler) noexcept : sampler_(sampler) {}

  struct Outputs {
    std::span<int32_t> tokens;
    std::span<uint32_t> row_status = {};
    std::span<int64_t> kept = {};
    std::span<uint64_t> kept_mass = {};
    std::span<float> logprob = {};
    std::span<int32_t> rounds = {};
  };

  Result<void> sample_requests(const Logits& logits, std::span<const SamplingParams> requests, TopPBase top_p_base,
                               const Outputs& outputs) {
    RequestColumns columns;
    if (Result<void> assigned = columns.try_assign(requests); !assigned) return assigned;
    Batch batch = columns.batch();
    batch.logits = logits;
    batch.top_p_base = top_p_base;
    batch.tokens = outputs.tokens;
    batch.row_status = outputs.row_status;
    batch.kept = outputs.kept;
    batch.kept_mass = outputs.kept_mass;
    batch.logprob = outputs.logprob;
    batch.rounds = outputs.rounds;
    return try_sample(batch);
  }

  TokendrawSampler* sampler_ = nullptr;
};

#if TOKENDRAW_CPP_EXCEPTIONS
inline std::string describe_device_plan(const DeviceInfo& device, Algorithm algorithm, const Batch& batch) {
  return try_describe_device_plan(device, algorithm, batch).value();
}
#endif

}  // namespace tokendraw

#endif  // TOKENDRAW_CPP_SAMPLER_HPP_
