# SPDX-License-Identifier: Apache-2.0
# What a GPU backend is made of, whatever its vendor: CUDA, HIP and the emulator of the tests compile the same files.
set(TOKENDRAW_GPU_KERNEL_SOURCES
  src/gpu/instances/bf16.cu
  src/gpu/instances/f16.cu
  src/gpu/instances/f32.cu
  src/gpu/instances/filter.cu
  src/gpu/instances/lists.cu
  src/gpu/instances/prefix_sum.cu
  src/gpu/instances/random.cu
  src/gpu/instances/softmax.cu
)
set(TOKENDRAW_GPU_HOST_SOURCES
  src/gpu/backend.cpp
  src/gpu/run.cpp
  src/gpu/run_operation.cpp
  src/plan/amd_targets.cpp
  src/plan/gpu_plan.cpp
)
list(TRANSFORM TOKENDRAW_GPU_KERNEL_SOURCES PREPEND "${PROJECT_SOURCE_DIR}/")
list(TRANSFORM TOKENDRAW_GPU_HOST_SOURCES PREPEND "${PROJECT_SOURCE_DIR}/")
