# SPDX-License-Identifier: Apache-2.0
# Provides the target hwy::hwy (Google Highway, >= 1.0.3) from its CMake package or, where a distribution ships only
# that, from pkg-config. Also installed: consumers of the static library need Highway, found the same way.
if(NOT TARGET hwy::hwy)
  find_package(hwy 1.0.3 CONFIG QUIET)
endif()
if(NOT TARGET hwy::hwy)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(TOKENDRAW_HWY QUIET IMPORTED_TARGET libhwy>=1.0.3)
  endif()
  if(TARGET PkgConfig::TOKENDRAW_HWY)
    add_library(hwy::hwy INTERFACE IMPORTED)
    set_property(TARGET hwy::hwy PROPERTY INTERFACE_LINK_LIBRARIES PkgConfig::TOKENDRAW_HWY)
  endif()
endif()
if(NOT TARGET hwy::hwy)
  message(FATAL_ERROR "Google Highway 1.0.3 or newer was not found: on Debian and Ubuntu install libhwy-dev.")
endif()
