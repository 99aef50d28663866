# SPDX-License-Identifier: Apache-2.0
# The library's answers are defined in single IEEE 754 operations (docs/semantics.md), so no option may let the compiler
# contract, reassociate or flush them. Provides the target tokendraw_float_contract and refuses options that break it.

# Options given later on a command line win, so one of these in the user's flags could undo ours, and -ffast-math at the
# link makes GCC switch on flush-to-zero for the whole process.
set(forbidden
    "-(Ofast|ffast-math|funsafe-math-optimizations|fassociative-math|freciprocal-math|ffinite-math-only|fno-signed-zeros|fp-model=fast)")
set(places CMAKE_C_FLAGS CMAKE_CXX_FLAGS CMAKE_EXE_LINKER_FLAGS CMAKE_SHARED_LINKER_FLAGS)
foreach(config ${CMAKE_BUILD_TYPE} ${CMAKE_CONFIGURATION_TYPES})
  string(TOUPPER ${config} config)
  list(APPEND places CMAKE_C_FLAGS_${config} CMAKE_CXX_FLAGS_${config})
endforeach()
get_directory_property(inherited_options COMPILE_OPTIONS) # add_compile_options() of an enclosing project
foreach(place ${places} inherited_options)
  if(" ${${place}} " MATCHES "[ ;]${forbidden}[ ;]")
    message(FATAL_ERROR "${place} contains -${CMAKE_MATCH_1}: tokendraw promises the same token bit for bit, which "
                        "fast-math breaks. Remove that option for this library.")
  endif()
endforeach()

add_library(tokendraw_float_contract INTERFACE)
target_compile_options(tokendraw_float_contract INTERFACE -ffp-contract=off -fno-fast-math)
