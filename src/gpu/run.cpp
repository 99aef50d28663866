// SPDX-License-Identifier: Apache-2.0
#include "gpu/run.h"

#include "gpu/kernel_set.h"
#include "gpu/wave_widths.h"

namespace tokendraw::gpu {
namespace {

template <int kWave>
KernelSet kernels_for_wave(request::Dtype dtype, bool edited) {
  switch (dtype) {
    case request::Dtype::kF32:
      return kernel_set<request::Dtype::kF32, kWave>(edited);
    case request::Dtype::kF16:
      return kernel_set<request::Dtype::kF16, kWave>(edited);
    case request::Dtype::kBf16:
      break;
  }
  return kernel_set<request::Dtype::kBf16, kWave>(edited);
}

KernelSet kernels_for(int32_t wave_width, request::Dtype dtype, bool edited) {
#define TOKENDRAW_CASE(wave) \
  if (wave_width == (wave)) return kernels_for_wave<wave>(dtype, edited);
  TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_CASE)
#undef TOKENDRAW_CASE
  return {};
}

template <typename T>
T* at(unsigned char* workspace, size_t offset) {
  return reinterpret_cast<T*>(workspace + offset);
}

Arguments make_arguments(const plan::Plan& plan, const plan::GpuWorkspaceLayout& layout,
                         const request::Request& request, unsigned char* workspace) {
  Arguments a = {};
  a.request = request;
  a.group_lines = plan.gpu.group_lines;
  a.splits = plan.gpu.splits;
  for (int32_t blocks = plan.gpu.cluster; blocks > 1; blocks /= 2) ++a.cluster_shift;
  a.block_lines = plan.gpu.block_lines;
  a.warp_groups = plan.gpu.warp_groups;
  a.read_once = plan.gpu.splits == 1 && plan.algorithm != plan::Algorithm::kRejection;
  a.try_candidates = plan.algorithm != plan::Algorithm::kRefine;
  a.wants_logprob = plan.shape.wants_logprob;
  a.group_max = at<float>(workspace, layout.group_max);
  a.group_mass = at<uint64_t>(workspace, layout.group_mass);
  a.split_nan = at<uint32_t>(workspace, layout.split_nan);
  a.row_state = workspace + layout.row_state;
  a.histogram = at<uint64_t>(workspace, layout.histogram);
  if (request.rows <= plan::kGpuMaxListRows) a.list = at<uint64_t>(workspace, layout.list);
  a.search_state = at<SearchState>(workspace, layout.search_state);
  if (plan.shape.has_lists) {
    a.lists.slots_taken = at<uint64_t>(workspace, layout.slots_taken);
    a.lists.row_slots = at<uint64_t>(workspace, layout.row_slots);
    a.lists.row_status = at<uint32_t>(workspace, layout.row_status);
    a.lists.listed = at<uint32_t>(workspace, layout.listed);
    a.lists.slots = at<uint64_t>(workspace, layout.slots);
    a.lists.slot_count = layout.slot_count;
  }
  return a;
}

}  // namespace

platform::Error probe_kernels() { return platform::probe(list_tables_kernel()); }

platform::Error prepare_clusters(const platform::DeviceProperties& properties, bool* usable) {
  *usable = properties.cluster_blocks > 1;
  for (const request::Dtype dtype : {request::Dtype::kF32, request::Dtype::kF16, request::Dtype::kBf16}) {
    for (const bool edited : {false, true}) {
      const Kernel kernel = kernels_for(properties.wave_width, dtype, edited).sample_resident;
      *usable = *usable && kernel != nullptr && platform::has_cluster_code(kernel);
      if (!*usable) return {};
      if (const platform::Error error = platform::allow_shapes(kernel, properties)) return error;
    }
  }
  return {};
}

platform::Error run(const plan::Plan& plan, bool clusters, const request::Request& request, void* workspace,
                    platform::Stream stream) {
  const auto address = reinterpret_cast<uintptr_t>(workspace);
  auto* aligned = static_cast<unsigned char*>(workspace) + (16 - address % 16) % 16;
  const KernelSet kernels = kernels_for(plan.gpu.wave_width, plan.shape.dtype, plan.shape.edited);
  const plan::GpuWorkspaceLayout layout = plan::gpu_workspace_layout(plan);
  const Arguments a = make_arguments(plan, layout, request, aligned);
  const auto rows = static_cast<uint32_t>(request.rows);
  constexpr uint32_t kThreads = plan::kGpuBlockThreads;
  platform::Error error;
  if (plan.shape.has_lists) {
    error = platform::fill_async(aligned + layout.lists, 0, layout.bytes - layout.lists, stream);
    if (!error) error = platform::launch(list_tables_kernel(), {rows, 1}, kThreads, stream, a);
  }
  if (error) return error;
  if (plan.algorithm == plan::Algorithm::kRejection) {
    return platform::launch(kernels.sample_rejection, {rows, 1}, kThreads, stream, a);
  }
  if (plan.gpu.cluster > 0) {
    platform::LaunchShape shape = {};
    shape.grid = {rows * static_cast<uint32_t>(plan.gpu.cluster), 1};
    shape.threads = plan::kGpuClusterThreads;
    shape.cluster_blocks = static_cast<uint32_t>(plan.gpu.cluster);
    shape.dynamic_shared_bytes = static_cast<uint32_t>(plan.gpu.cluster_shared_bytes);
    shape.begins_early = true;
    if (clusters) error = platform::launch_shaped(kernels.sample_resident, shape, stream, a);
    if (clusters && !platform::is_about_shape(error)) return error;
    // A device that is known to have such clusters cannot place them now: a part of one, or code for older ones.
    plan::Plan one_block = plan;
    one_block.gpu = plan::make_one_block_plan(plan.shape, plan::GpuWay::kBlock, plan.gpu.wave_width);
    return platform::launch(kernels.sample_row, {rows, 1}, kThreads, stream,
                            make_arguments(one_block, layout, request, aligned));
  }
  if (plan.gpu.splits == 1) {
    const bool small = plan.gpu.way == plan::GpuWay::kSmallBlock;
    const auto threads = static_cast<uint32_t>(plan.gpu.block_threads);
    return platform::launch(small ? kernels.sample_row_small : kernels.sample_row, {rows, 1}, threads, stream, a);
  }
  const platform::Grid split = {static_cast<uint32_t>(plan.gpu.splits), rows};
  error = platform::launch(kernels.split_maxima, split, kThreads, stream, a);
  if (!error) error = platform::launch(kernels.split_masses, split, kThreads, stream, a);
  if (!error) error = platform::launch(kernels.split_search, split, kThreads, stream, a);
  if (!error) error = platform::launch(kernels.split_finish, {rows, 1}, kThreads, stream, a);
  return error;
}

}  // namespace tokendraw::gpu
