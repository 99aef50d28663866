# SPDX-License-Identifier: Apache-2.0
# What runs on a machine with an NVIDIA GPU (scripts/gpu_check.sh): target gpu_programs, and their paths in
# gpu_programs.txt of the build folder, for scripts/pack_gpu_build.sh.
set(programs tokendraw_cli gpu_bench gpu_operations_bench)
foreach(name cases crowded estimate exponential graph large memory nucleus operations stream)
  list(APPEND programs cuda_${name}_test)
endforeach()
# Tests of the CPU that ask the GPU too, with TOKENDRAW_TEST_CUDA=1.
foreach(name golden cases_values cases_filters cases_inputs random_search invariance memory_invariance distribution
             real_logits large_batch)
  list(APPEND programs ${name}_test)
endforeach()
foreach(name device_sampling_c device_sampling_cpp curand_numbers)
  if(TARGET example_${name}) # cuRAND and the examples may be left out
    list(APPEND programs example_${name})
  endif()
endforeach()

add_custom_target(gpu_programs DEPENDS tokendraw_cuda ${programs})
list(TRANSFORM programs REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE paths)
list(JOIN paths "\n" paths)
file(GENERATE OUTPUT "${PROJECT_BINARY_DIR}/gpu_programs.txt" CONTENT "${paths}\n")
