# SPDX-License-Identifier: Apache-2.0
# libtokendraw_hip: the kernels of src/gpu for AMD GPUs, a shared object that libtokendraw loads where it is present. It
# needs libamdhip64; where that is not installed, it does not load and libtokendraw says so and samples on the CPU.
#
# Kernels are compiled by clang with commands of our own and not as CMake's language HIP, which asks for a complete ROCm
# of one version. Every file is compiled for every target by itself, so that all processors have work, and the objects
# can be looked at (scripts/hip_kernel_table.py). clang-offload-bundler makes one fat binary of a file's objects, and the
# compilation of its host part takes that in.
include(cmake/gpu_sources.cmake)
include(cmake/find_hip.cmake)

set(hip_options ${TOKENDRAW_HIP_OPTIONS} -Wall -Wextra -Wpedantic -DTOKENDRAW_PLATFORM_HIP -DNDEBUG
    "-I${PROJECT_SOURCE_DIR}/src" "-I${PROJECT_SOURCE_DIR}/include")
if(TOKENDRAW_WERROR)
  list(APPEND hip_options -Werror)
endif()

# Compiles a file of kernels for all targets; ${objects} gets the host object with the fat binary inside.
function(tokendraw_compile_hip source objects)
  get_filename_component(name "${source}" NAME_WE)
  set(folder "${CMAKE_BINARY_DIR}/hip")
  set(ids "host-x86_64-unknown-linux-gnu")
  set(inputs "-input=/dev/null")
  set(code_objects "")
  foreach(target ${TOKENDRAW_HIP_TARGETS})
    set(object "${folder}/${name}-${target}.co")
    add_custom_command(OUTPUT "${object}"
      COMMAND "${hip_compiler}" ${hip_options} --offload-arch=${target} --cuda-device-only --no-gpu-bundle-output
              -MD -MF "${object}.d" -MT "${object}" -c "${source}" -o "${object}"
      DEPENDS "${source}" DEPFILE "${object}.d" VERBATIM
      COMMENT "Compiling ${name} for ${target}")
    string(APPEND ids ",hipv4-amdgcn-amd-amdhsa--${target}")
    list(APPEND inputs "-input=${object}")
    list(APPEND code_objects "${object}")
  endforeach()
  set(bundle "${folder}/${name}.hipfb")
  add_custom_command(OUTPUT "${bundle}"
    COMMAND "${TOKENDRAW_OFFLOAD_BUNDLER}" -type=o -bundle-align=4096 "-targets=${ids}" ${inputs} "-output=${bundle}"
    DEPENDS ${code_objects} VERBATIM)
  set(object "${folder}/${name}.o")
  add_custom_command(OUTPUT "${object}"
    COMMAND "${hip_compiler}" ${hip_options} -Wno-unused-command-line-argument --cuda-host-only -Xclang -cuid=${name} -fPIC
            -fvisibility=hidden -Xclang -fcuda-include-gpubinary -Xclang "${bundle}"
            -MD -MF "${object}.d" -MT "${object}" -c "${source}" -o "${object}"
    DEPENDS "${source}" "${bundle}" DEPFILE "${object}.d" VERBATIM)
  set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  set(${objects} ${${objects}} "${object}" PARENT_SCOPE)
endfunction()

set(hip_objects "")
foreach(source ${TOKENDRAW_GPU_KERNEL_SOURCES})
  tokendraw_compile_hip("${source}" hip_objects)
endforeach()
# One target for the commands, so that the programs that take the objects do not each run them.
add_custom_target(tokendraw_hip_kernels DEPENDS ${hip_objects})

# The backend but for its kernels; the self-test has it inside as well.
add_library(tokendraw_hip_host OBJECT ${TOKENDRAW_GPU_HOST_SOURCES} src/gpu/platform/hip_modules.cpp)
target_compile_definitions(tokendraw_hip_host PRIVATE TOKENDRAW_PLATFORM_HIP)
target_include_directories(tokendraw_hip_host PRIVATE src include)
target_link_libraries(tokendraw_hip_host PRIVATE tokendraw_warnings tokendraw_float_contract tokendraw_hip_runtime)

add_library(tokendraw_hip SHARED ${hip_objects} $<TARGET_OBJECTS:tokendraw_hip_host>)
add_dependencies(tokendraw_hip tokendraw_hip_kernels)
set_target_properties(tokendraw_hip PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                      LINKER_LANGUAGE CXX LIBRARY_OUTPUT_DIRECTORY "$<TARGET_FILE_DIR:tokendraw>")
target_link_libraries(tokendraw_hip PRIVATE tokendraw_hip_runtime)
target_link_options(tokendraw_hip PRIVATE "LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/backend.map")
install(TARGETS tokendraw_hip LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
