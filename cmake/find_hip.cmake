# SPDX-License-Identifier: Apache-2.0
# What the HIP backend is built with: a clang that compiles for every target of TOKENDRAW_HIP_TARGETS, its
# clang-offload-bundler, and the header and library of the HIP runtime. A ROCm in /opt or $ROCM_PATH comes first, then
# what a distribution has: on Debian 12 and Ubuntu 24.04 the packages clang-19, lld-19 and libamdhip64-dev.
#
# Neither HIP's device headers nor its device library (amdgcn bitcode) are used, so any clang serves, whatever version
# the runtime has.

# CDNA 2 and 3, RDNA 2, 3, 3.5 and 4
set(TOKENDRAW_HIP_TARGETS "gfx90a;gfx942;gfx1030;gfx1100;gfx1151;gfx1201" CACHE STRING "AMD GPUs to build for")
set(TOKENDRAW_HIP_COMPILER "" CACHE FILEPATH "The clang that compiles HIP kernels; empty: the first that can")

# Options of every compilation of kernels. The same float rules as everywhere: no contraction, correctly rounded
# division, denormals kept. Code object version 4: runtimes of ROCm 5, 6 and 7 load it.
set(TOKENDRAW_HIP_OPTIONS -x hip -std=c++20 -O3 -nogpulib -nogpuinc -ffp-contract=off
    -fhip-fp32-correctly-rounded-divide-sqrt -fno-gpu-flush-denormals-to-zero -mcode-object-version=4)

# Sets ${why} to the reason why a compiler will not do, empty if it will.
function(tokendraw_try_hip_compiler compiler why)
  set(source "${CMAKE_BINARY_DIR}/hip/try_compiler.hip")
  file(WRITE "${source}" "__attribute__((global)) void store(int* to) { *to = __builtin_amdgcn_workitem_id_x(); }\n")
  set(${why} "" PARENT_SCOPE)
  foreach(target ${TOKENDRAW_HIP_TARGETS})
    execute_process(COMMAND "${compiler}" ${TOKENDRAW_HIP_OPTIONS} --offload-arch=${target} --cuda-device-only
                            --no-gpu-bundle-output -c "${source}" -o "${source}.o"
                    RESULT_VARIABLE failed OUTPUT_QUIET ERROR_VARIABLE said)
    if(failed)
      string(REGEX MATCH "error: [^\n]*" first "${said}")
      set(${why} "${compiler} cannot compile for ${target}: ${first}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

set(rocm_roots $ENV{ROCM_PATH} /opt/rocm)
if(TOKENDRAW_HIP_COMPILER)
  set(candidates "${TOKENDRAW_HIP_COMPILER}")
else()
  set(candidates "")
  foreach(root ${rocm_roots})
    if(EXISTS "${root}/llvm/bin/clang++")
      list(APPEND candidates "${root}/llvm/bin/clang++")
    endif()
  endforeach()
  foreach(name clang++-21 clang++-20 clang++-19 clang++)
    find_program(found_${name} ${name})
    mark_as_advanced(found_${name})
    if(found_${name})
      list(APPEND candidates "${found_${name}}")
    endif()
  endforeach()
endif()

set(hip_compiler "")
set(refused "")
foreach(candidate ${candidates})
  tokendraw_try_hip_compiler("${candidate}" why)
  if(why STREQUAL "")
    set(hip_compiler "${candidate}")
    break()
  endif()
  string(APPEND refused "\n  ${why}")
endforeach()
if(hip_compiler STREQUAL "")
  message(FATAL_ERROR "The HIP backend needs a clang with lld that compiles for ${TOKENDRAW_HIP_TARGETS}: on Debian 12 "
                      "and Ubuntu 24.04 the packages clang-19 and lld-19 (scripts/bootstrap.sh hip installs all it "
                      "takes). TOKENDRAW_HIP_COMPILER names another one, TOKENDRAW_HIP_TARGETS fewer targets.${refused}")
endif()
get_filename_component(hip_compiler_real "${hip_compiler}" REALPATH)
get_filename_component(hip_compiler_folder "${hip_compiler_real}" DIRECTORY)
find_program(TOKENDRAW_OFFLOAD_BUNDLER clang-offload-bundler HINTS "${hip_compiler_folder}" NO_DEFAULT_PATH REQUIRED)
mark_as_advanced(TOKENDRAW_OFFLOAD_BUNDLER)

find_path(TOKENDRAW_HIP_INCLUDE hip/hip_runtime_api.h HINTS ${rocm_roots} PATH_SUFFIXES include REQUIRED)
find_library(TOKENDRAW_HIP_RUNTIME amdhip64 HINTS ${rocm_roots} PATH_SUFFIXES lib REQUIRED)
mark_as_advanced(TOKENDRAW_HIP_INCLUDE TOKENDRAW_HIP_RUNTIME)
message(STATUS "HIP backend: ${hip_compiler} for ${TOKENDRAW_HIP_TARGETS}; runtime: ${TOKENDRAW_HIP_RUNTIME}")

# Host code that calls the runtime.
add_library(tokendraw_hip_runtime INTERFACE)
target_compile_definitions(tokendraw_hip_runtime INTERFACE __HIP_PLATFORM_AMD__)
target_include_directories(tokendraw_hip_runtime SYSTEM INTERFACE "${TOKENDRAW_HIP_INCLUDE}")
target_link_libraries(tokendraw_hip_runtime INTERFACE "${TOKENDRAW_HIP_RUNTIME}")
