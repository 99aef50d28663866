# SPDX-License-Identifier: Apache-2.0
# Installation: headers, library, CMake package and pkg-config file. The files find each other by relative paths, so an
# installed tree may be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tokendraw")

install(TARGETS tokendraw EXPORT tokendraw-targets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/tokendraw" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(EXPORT tokendraw-targets NAMESPACE tokendraw:: DESTINATION "${package_dir}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/tokendraw-config.cmake.in" tokendraw-config.cmake
                              INSTALL_DESTINATION "${package_dir}")
# While the major version is 0, a minor version may change the interface.
write_basic_package_version_file(tokendraw-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/tokendraw-config.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/tokendraw-config-version.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/find_highway.cmake"
        DESTINATION "${package_dir}")

file(RELATIVE_PATH TOKENDRAW_PC_PREFIX "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" TOKENDRAW_PC_PREFIX "${TOKENDRAW_PC_PREFIX}")
if(BUILD_SHARED_LIBS)
  set(TOKENDRAW_PC_PRIVATE "")
else()
  set(TOKENDRAW_PC_PRIVATE "Requires.private: libhwy\nLibs.private: -lstdc++ -lm -ldl -pthread")
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/tokendraw.pc.in" tokendraw.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/tokendraw.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
