# SPDX-License-Identifier: Apache-2.0
# Reads the version from the public header, the one place where it is written.
# Sets ${out} to "MAJOR.MINOR.PATCH".
function(tokendraw_read_version header out)
  set(version "")
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${header}" line REGEX "^#define TOKENDRAW_VERSION_${part} [0-9]+$")
    if(NOT line MATCHES " ([0-9]+)$")
      message(FATAL_ERROR "${header} does not define TOKENDRAW_VERSION_${part} as a number.")
    endif()
    list(APPEND version "${CMAKE_MATCH_1}")
  endforeach()
  list(JOIN version "." version)
  set(${out} "${version}" PARENT_SCOPE)
endfunction()
