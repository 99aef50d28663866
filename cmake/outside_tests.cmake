# SPDX-License-Identifier: Apache-2.0
# Tests of the built library as others meet it: its symbols, and programs that use an installed copy.
if(NOT TOKENDRAW_SANITIZE AND UNIX) # a sanitized library needs the sanitizer's runtime in its user
  if(BUILD_SHARED_LIBS)
    add_test(NAME exported_symbols
             COMMAND "${PROJECT_SOURCE_DIR}/scripts/check_symbols.sh" $<TARGET_FILE:tokendraw>)
  endif()
  add_test(NAME consumers COMMAND "${PROJECT_SOURCE_DIR}/scripts/check_consumers.sh" "${PROJECT_BINARY_DIR}")
  set_tests_properties(consumers PROPERTIES LABELS outside TIMEOUT 900
                       ENVIRONMENT "CC=${CMAKE_C_COMPILER};CXX=${CMAKE_CXX_COMPILER}")
  if(TOKENDRAW_CUDA AND BUILD_SHARED_LIBS)
    add_test(NAME cuda_backend
             COMMAND "${PROJECT_SOURCE_DIR}/scripts/check_cuda_backend.sh" "${PROJECT_BINARY_DIR}")
    set_tests_properties(cuda_backend PROPERTIES LABELS cuda)
  endif()
endif()
