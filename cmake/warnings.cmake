# SPDX-License-Identifier: Apache-2.0
# The warnings of this project's own code; never passed on to those who use the library.
add_library(tokendraw_warnings INTERFACE)
target_compile_options(tokendraw_warnings INTERFACE -Wall -Wextra -Wpedantic)
if(TOKENDRAW_WERROR)
  target_compile_options(tokendraw_warnings INTERFACE -Werror)
endif()
