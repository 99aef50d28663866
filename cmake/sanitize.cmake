# SPDX-License-Identifier: Apache-2.0
# TOKENDRAW_SANITIZE: "address,undefined" or "thread" for everything built here. A finding ends the program, so that no
# test passes over one.
if(TOKENDRAW_SANITIZE)
  if(NOT TOKENDRAW_SANITIZE MATCHES "^(address|undefined|address,undefined|thread)$")
    message(FATAL_ERROR "TOKENDRAW_SANITIZE is '${TOKENDRAW_SANITIZE}': expected address, undefined, "
                        "'address,undefined' or thread.")
  endif()
  add_compile_options(-fsanitize=${TOKENDRAW_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TOKENDRAW_SANITIZE})
endif()
