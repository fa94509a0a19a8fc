# Install and export: find_package(nkv) [COMPONENTS core device host cuda hip target rados execute] and pkg-config's nkv.pc. Included from the
# top-level CMakeLists.txt.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(nkv_package_dir ${CMAKE_INSTALL_DATAROOTDIR}/cmake/nkv)

install(
  TARGETS nkv_core nkv_device nkv_host nkv_cuda nkv_hip
  EXPORT nkv-host
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(
  EXPORT nkv-host
  NAMESPACE nkv::
  DESTINATION ${nkv_package_dir})

# An export set of its own: its file is read only where fmt and nlohmann_json are found.
if(TARGET nkv_target)
  install(
    TARGETS nkv_target
    EXPORT nkv-target
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(
    EXPORT nkv-target
    NAMESPACE nkv::
    DESTINATION ${nkv_package_dir})
endif()

foreach(program nkv nkv-target)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/nkv-config.cmake.in ${PROJECT_BINARY_DIR}/nkv-config.cmake
                              INSTALL_DESTINATION ${nkv_package_dir})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/nkv-config-version.cmake
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/nkv-config.cmake ${PROJECT_BINARY_DIR}/nkv-config-version.cmake
        DESTINATION ${nkv_package_dir})

# nkv: the core and the host side; nkv-target: what the embedded target needs besides.
set(nkv_pc_names nkv)
if(TARGET nkv_target)
  list(APPEND nkv_pc_names nkv-target)
endif()
foreach(name IN LISTS nkv_pc_names)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/pkgconfig)
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
