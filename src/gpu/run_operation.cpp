// SPDX-License-Identifier: Apache-2.0
#include "gpu/run_operation.h"

#include "gpu/operation_kernels.h"
#include "gpu/wave_widths.h"

namespace tokendraw::gpu {
namespace {

template <int kWave>
OperationKernel kernel_for_wave(const request::Operation& operation) {
  switch (operation.kind) {
    case request::OperationKind::kSoftmax:
      return softmax_kernel<kWave>(operation.softmax.dtype, operation.softmax.output_dtype);
    case request::OperationKind::kPrefixSum:
      return prefix_sum_kernel<kWave>(operation.prefix_sum.number);
    case request::OperationKind::kFillRandom:
      return random_kernel(operation.random.generator, operation.random.kind);
    case request::OperationKind::kFilter:
      return filter_kernel<kWave>(operation.filter.dtype, operation.filter.of_probabilities);
  }
  return nullptr;
}

OperationKernel kernel_for(const request::Operation& operation, int wave_width) {
#define TOKENDRAW_CASE(wave) \
  if (wave_width == (wave)) return kernel_for_wave<wave>(operation);
  TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_CASE)
#undef TOKENDRAW_CASE
  return nullptr;
}

template <int kWave>
ResidentKernel resident_kernel_for_wave(const request::Operation& operation) {
  if (operation.kind == request::OperationKind::kSoftmax) {
    return softmax_resident_kernel<kWave>(operation.softmax.dtype, operation.softmax.output_dtype);
  }
  if (operation.kind == request::OperationKind::kFilter) {
    return filter_resident_kernel<kWave>(operation.filter.dtype, operation.filter.of_probabilities);
  }
  if (operation.kind == request::OperationKind::kPrefixSum) {
    return prefix_sum_resident_kernel<kWave>(operation.prefix_sum.number);
  }
  return nullptr;
}

// nullptr: the operation has none.
ResidentKernel resident_kernel_for(const request::Operation& operation, int wave_width) {
#define TOKENDRAW_CASE(wave) \
  if (wave_width == (wave)) return resident_kernel_for_wave<wave>(operation);
  TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_CASE)
#undef TOKENDRAW_CASE
  return nullptr;
}

// Blocks that share a row.
uint32_t parts_of(const request::Operation& operation) {
  if (operation.kind != request::OperationKind::kFillRandom) return 1;
  constexpr int64_t kMost = 1024;
  const bool xorwow = operation.random.generator == request::Generator::kXorwow;
  const int64_t each = kOperationThreads * (xorwow ? kXorwowStretch : 16);
  const int64_t parts = (operation.columns + each - 1) / each;
  return static_cast<uint32_t>(parts < kMost ? parts : kMost);
}

// By a cluster a row, which the sampler's plan for such rows shapes. False: rows are too long for the device's, or
// there are too many.
bool shape_clusters(const request::Operation& operation, plan::DeviceFacts facts, ResidentShape* shape,
                    platform::LaunchShape* launch) {
  const bool softmax = operation.kind == request::OperationKind::kSoftmax;
  // Where every multiprocessor has rows of its own, a block that reads a row again waits less than those of a cluster
  // for one another; not for softmax, though, which does little between its reads (docs/performance.md).
  if (!softmax && operation.rows > int64_t{facts.compute_units}) return false;
  if (!softmax) facts.block_shared_bytes -= kResidentSharedBytes - plan::kGpuClusterStaticBytes;
  plan::Shape rows = {};
  rows.vocab = static_cast<int32_t>(operation.columns);
  rows.rows = operation.rows;
  rows.dtype = softmax                                             ? operation.softmax.dtype
               : operation.kind == request::OperationKind::kFilter ? operation.filter.dtype
                                                                   : request::Dtype::kF32;
  const plan::GpuPlan plan = plan::make_gpu_plan(rows, plan::GpuWay::kCluster, facts);
  if (plan.way != plan::GpuWay::kCluster || operation.rows > INT32_MAX / plan.cluster) return false;
  *shape = {0, plan.block_lines, plan.group_lines, plan.warp_groups};
  while (1 << shape->cluster_shift < plan.cluster) ++shape->cluster_shift;
  launch->grid = {static_cast<uint32_t>(operation.rows * plan.cluster), 1};
  launch->threads = softmax ? plan::kGpuClusterThreads : kOperationThreads;
  launch->cluster_blocks = static_cast<uint32_t>(plan.cluster);
  launch->dynamic_shared_bytes = static_cast<uint32_t>(plan.cluster_shared_bytes);
  launch->begins_early = true;
  return true;
}

}  // namespace

platform::Error prepare_resident_operations(const platform::DeviceProperties& properties, bool* usable) {
  constexpr request::Dtype kDtypes[] = {request::Dtype::kF32, request::Dtype::kF16, request::Dtype::kBf16};
  const auto prepare = [&](const request::Operation& operation) -> platform::Error {
    const ResidentKernel kernel = resident_kernel_for(operation, properties.wave_width);
    *usable = *usable && kernel != nullptr && platform::has_cluster_code(kernel);
    return *usable ? platform::allow_shapes(kernel, properties) : platform::Error{};
  };
  request::Operation sum = {};
  sum.kind = request::OperationKind::kPrefixSum;
  if (const platform::Error error = prepare(sum)) return error;
  for (const request::Dtype dtype : kDtypes) {
    request::Operation operation = {};
    operation.kind = request::OperationKind::kSoftmax;
    operation.softmax.dtype = dtype;
    for (const request::Dtype output_dtype : kDtypes) {
      operation.softmax.output_dtype = output_dtype;
      if (const platform::Error error = prepare(operation)) return error;
    }
    operation = {};
    operation.kind = request::OperationKind::kFilter;
    operation.filter.dtype = dtype;
    for (const bool of_probabilities : {false, true}) {
      if (of_probabilities && dtype != request::Dtype::kF32) continue;
      operation.filter.of_probabilities = of_probabilities;
      if (const platform::Error error = prepare(operation)) return error;
    }
  }
  return {};
}

platform::Error run_operation(const request::Operation& operation, const plan::DeviceFacts& facts, bool clusters,
                              platform::Stream stream) {
  const ResidentKernel resident = clusters ? resident_kernel_for(operation, facts.wave_width) : nullptr;
  ResidentShape shape = {};
  platform::LaunchShape launch = {};
  if (resident != nullptr && shape_clusters(operation, facts, &shape, &launch)) {
    const platform::Error error = platform::launch_shaped(resident, launch, stream, operation, shape);
    if (!platform::is_about_shape(error)) return error;
  }
  const auto rows = static_cast<uint32_t>(operation.rows);
  return platform::launch(kernel_for(operation, facts.wave_width), {rows, parts_of(operation)}, kOperationThreads,
                          stream, operation);
}

}  // namespace tokendraw::gpu
