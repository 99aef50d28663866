# SPDX-License-Identifier: Apache-2.0
# TOKENDRAW_SANITIZE: "address,undefined" or "thread" for everything built here. A finding ends the program, so that no
# test passes over one.
if(TOKENDRAW_SANITIZE)
  if(NOT TOKENDRAW_SANITIZE MATCHES "^(address|undefined|address,undefined|thread)$")
    message(FATAL_ERROR "TOKENDRAW_SANITIZE is '${TOKENDRAW_SANITIZE}': expected address, undefined, "
                        "'address,undefined' or thread.")
  endif()
  add_compile_options(-fsanitize=${TOKENDRAW_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_compile_options(-O1 -g1) # after those of the build type: reports need lines, and the SIMD loops take minutes by -O2
  add_link_options(-fsanitize=${TOKENDRAW_SANITIZE})
  # The library is C++, so a C program needs that part of the runtime too; GCC's has no parts.
  add_link_options("$<$<LINK_LANG_AND_ID:C,Clang>:-fsanitize-link-c++-runtime;-lstdc++>")
endif()
