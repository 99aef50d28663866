# SPDX-License-Identifier: Apache-2.0
# TOKENDRAW_CUDA as ON or OFF, where it may be AUTO: ON if there is a CUDA compiler new enough. Looked for in the PATH and
# where NVIDIA's packages put it; CMAKE_CUDA_COMPILER and the environment's CUDACXX name another.
set(TOKENDRAW_OLDEST_CUDA 12.8) # knows all of TOKENDRAW_CUDA_ARCHITECTURES

if(TOKENDRAW_CUDA AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(TOKENDRAW_NVCC nvcc PATHS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
  mark_as_advanced(TOKENDRAW_NVCC)
  if(TOKENDRAW_NVCC)
    set(CMAKE_CUDA_COMPILER "${TOKENDRAW_NVCC}")
  endif()
endif()

if(TOKENDRAW_CUDA STREQUAL "AUTO")
  set(TOKENDRAW_CUDA OFF) # from here on a plain variable beside the cache's
  set(nvcc "${CMAKE_CUDA_COMPILER}")
  if(NOT nvcc)
    set(nvcc "$ENV{CUDACXX}")
  endif()
  set(said "")
  if(nvcc)
    execute_process(COMMAND "${nvcc}" --version OUTPUT_VARIABLE said ERROR_QUIET RESULT_VARIABLE failed)
  endif()
  if(said MATCHES "release ([0-9]+\\.[0-9]+)" AND NOT CMAKE_MATCH_1 VERSION_LESS TOKENDRAW_OLDEST_CUDA)
    set(TOKENDRAW_CUDA ON)
  endif()
  message(STATUS "CUDA backend: ${TOKENDRAW_CUDA} (compiler: ${nvcc})")
endif()
