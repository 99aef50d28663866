# SPDX-License-Identifier: Apache-2.0
# The shared library exports the C API and nothing else, and has no symbol left open.
include(CheckLinkerFlag)
if(BUILD_SHARED_LIBS AND NOT APPLE AND NOT WIN32)
  set(map "${PROJECT_SOURCE_DIR}/cmake/tokendraw.map")
  target_link_options(tokendraw PRIVATE "LINKER:--version-script=${map}")
  set_property(TARGET tokendraw APPEND PROPERTY LINK_DEPENDS "${map}")
  if(NOT TOKENDRAW_SANITIZE) # clang's sanitizer runtime is in the executable only
    check_linker_flag(CXX "LINKER:--no-undefined" TOKENDRAW_HAS_NO_UNDEFINED)
    if(TOKENDRAW_HAS_NO_UNDEFINED)
      target_link_options(tokendraw PRIVATE "LINKER:--no-undefined")
    endif()
  endif()
endif()
