# SPDX-License-Identifier: Apache-2.0
# libtokendraw_cuda: the kernels of src/gpu for NVIDIA GPUs, a shared object that libtokendraw loads where it is present.
# The CUDA runtime is linked statically, so a machine needs no more than a driver.

# Architectures with machine code of their own; the first also as PTX, from which drivers of other GPUs compile.
set(TOKENDRAW_CUDA_ARCHITECTURES "75;80;86;89;90a;100;120" CACHE STRING "Compute capabilities to build for")

# Chosen by the options below; CMake before 3.26 would otherwise try one that CUDA 13 no longer has.
set(CMAKE_CUDA_ARCHITECTURES OFF)
enable_language(CUDA)
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # CMake before 3.26 does not know that nvcc has C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
find_package(CUDAToolkit ${TOKENDRAW_OLDEST_CUDA} REQUIRED)

add_library(tokendraw_cuda SHARED
  src/gpu/backend.cpp
  src/gpu/run.cpp
  src/gpu/run_operation.cpp
  src/gpu/instances/bf16.cu
  src/gpu/instances/f16.cu
  src/gpu/instances/f32.cu
  src/gpu/instances/filter.cu
  src/gpu/instances/lists.cu
  src/gpu/instances/prefix_sum.cu
  src/gpu/instances/random.cu
  src/gpu/instances/softmax.cu
  src/plan/gpu_plan.cpp
)
set_target_properties(tokendraw_cuda PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                      LIBRARY_OUTPUT_DIRECTORY "$<TARGET_FILE_DIR:tokendraw>")
target_include_directories(tokendraw_cuda PRIVATE src include)
target_link_libraries(tokendraw_cuda PRIVATE CUDA::cudart_static)

list(GET TOKENDRAW_CUDA_ARCHITECTURES 0 first)
set(tokendraw_cuda_targets "SHELL:-gencode arch=compute_${first},code=compute_${first}")
foreach(architecture ${TOKENDRAW_CUDA_ARCHITECTURES})
  list(APPEND tokendraw_cuda_targets "SHELL:-gencode arch=compute_${architecture},code=sm_${architecture}")
endforeach()

# Architectures, warnings and the contract's float rules for the CUDA sources of a target.
function(tokendraw_cuda_options target)
  set_target_properties(${target} PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden)
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:${tokendraw_cuda_targets}>"
    "$<$<COMPILE_LANGUAGE:CUDA>:--fmad=false;-Xcompiler=-ffp-contract=off,-Wall,-Wextra>")
  if(TOKENDRAW_WERROR)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings>")
  endif()
endfunction()

tokendraw_cuda_options(tokendraw_cuda)
install(TARGETS tokendraw_cuda LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
