// SPDX-License-Identifier: Apache-2.0
// Plans for devices that need not be there.
#include <cstdio>

#include "api/algorithm.h"
#include "api/error.h"
#include "plan/amd_targets.h"
#include "plan/plan.h"
#include "request/request.h"
#include "tokendraw/tokendraw.h"

namespace tokendraw::api {
namespace {

// Fills in what is left at 0 of a GPU whose architecture is known.
void complete(const char* target, TokendrawDeviceInfo* device) {
  const plan::AmdTarget* amd = device->backend == TOKENDRAW_BACKEND_HIP ? plan::find_amd_target(target) : nullptr;
  if (amd == nullptr) return;
  if (device->compute_units == 0) device->compute_units = amd->multiprocessors;
  if (device->simd_width_f32 == 0) device->simd_width_f32 = amd->wave_width;
}

TokendrawStatus read_facts(const TokendrawDeviceInfo& device, plan::DeviceFacts* facts) {
  switch (device.backend) {
    case TOKENDRAW_BACKEND_CPU:
      facts->backend = plan::Backend::kCpu;
      break;
    case TOKENDRAW_BACKEND_CUDA:
      facts->backend = plan::Backend::kCuda;
      break;
    case TOKENDRAW_BACKEND_HIP:
      facts->backend = plan::Backend::kHip;
      break;
    default:
      return report(TOKENDRAW_INVALID_BACKEND, "device->backend is %d; it must be cpu, cuda or hip",
                    static_cast<int>(device.backend));
  }
  if (device.compute_units < 1) {
    return report(TOKENDRAW_INVALID_DEVICE, "device->compute_units is %d; it must be at least 1", device.compute_units);
  }
  facts->compute_units = device.compute_units;
  if (device.backend == TOKENDRAW_BACKEND_CPU) return TOKENDRAW_OK;
  if (device.simd_width_f32 != 32 && device.simd_width_f32 != 64) {
    return report(TOKENDRAW_INVALID_DEVICE, "device->simd_width_f32 is %d; a GPU's is 32 or 64", device.simd_width_f32);
  }
  facts->wave_width = device.simd_width_f32;
  return TOKENDRAW_OK;
}

TokendrawStatus check_algorithm_of_device(TokendrawAlgorithm algorithm, const TokendrawDeviceInfo& device) {
  const TokendrawStatus status = check_algorithm(algorithm);
  if (status != TOKENDRAW_OK) return status;
  if (runs_on_cpu_only(algorithm) && device.backend != TOKENDRAW_BACKEND_CPU) {
    return report(TOKENDRAW_ERROR_UNSUPPORTED, "algorithm %s runs on the cpu only",
                  tokendraw_algorithm_name(algorithm));
  }
  return TOKENDRAW_OK;
}

}  // namespace
}  // namespace tokendraw::api

extern "C" TokendrawStatus tokendraw_describe_device_plan(const TokendrawDeviceInfo* device,
                                                          TokendrawAlgorithm algorithm, const TokendrawBatch* batch,
                                                          char* text, size_t capacity, size_t* needed) {
  using namespace tokendraw;
  if (device == nullptr) return api::report(TOKENDRAW_INVALID_DEVICE, "device is NULL");
  if (text == nullptr && capacity > 0) return api::report(TOKENDRAW_INVALID_OUTPUT_POINTER, "text is NULL");
  if (device->struct_size < sizeof *device) {
    return api::report(TOKENDRAW_INVALID_STRUCT_SIZE,
                       "device->struct_size is %zu; it must be the size of the struct, %zu", device->struct_size,
                       sizeof *device);
  }
  char target[sizeof device->target + 1];
  std::snprintf(target, sizeof target, "%.*s", static_cast<int>(sizeof device->target), device->target);
  TokendrawDeviceInfo completed = *device;
  api::complete(target, &completed);
  plan::DeviceFacts facts = {};
  TokendrawStatus status = api::read_facts(completed, &facts);
  if (status == TOKENDRAW_OK) status = api::check_algorithm_of_device(algorithm, completed);
  if (status != TOKENDRAW_OK) return status;
  request::Request request;
  const request::Refusal refusal = request::make_request(batch, &request);
  if (refusal) return api::report(refusal.status, "%s", refusal.message);
  facts.target = target;
  if (facts.backend != plan::Backend::kCpu) plan::set_target_facts(target, &facts);
  const int32_t threads = facts.backend == plan::Backend::kCpu ? facts.compute_units : 1;
  const plan::Choices choices = {algorithm, threads, TOKENDRAW_GPU_WAY_AUTO};
  const size_t whole = plan::describe(plan::make_plan(plan::shape_of(request), choices, facts), text, capacity);
  if (needed != nullptr) *needed = whole;
  return TOKENDRAW_OK;
}
