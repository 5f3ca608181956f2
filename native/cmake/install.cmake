# Installs the library, its header and the command line, with a CMake package and a pkg-config file beside them.
include(CMakePackageConfigHelpers)

install(TARGETS unmoor unmoor_static EXPORT unmoor-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS um RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(EXPORT unmoor-targets NAMESPACE unmoor:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/unmoor)

configure_package_config_file(cmake/unmoor-config.cmake.in unmoor-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/unmoor NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(unmoor-config-version.cmake VERSION ${UNMOOR_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/unmoor-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/unmoor-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/unmoor)

file(RELATIVE_PATH UNMOOR_PREFIX /at/${CMAKE_INSTALL_LIBDIR}/pkgconfig /at)
configure_file(cmake/unmoor.pc.in unmoor.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/unmoor.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
