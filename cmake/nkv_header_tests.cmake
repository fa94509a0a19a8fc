# Every header of a target's FILE_SET alone: one generated source per header includes it twice, and all objects are
# linked twice into one executable. The first finds a header that leans on another's includes or has no guard, the
# second a function that is not inline.
#
# nkv_add_header_tests(<target> NAME <name>) adds the CTest test nkv.header.<name>, which does the building, so that a
# broken header is a failed test and not a failed build.
include_guard(GLOBAL)

function(nkv_add_header_tests target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "NAME" "")
  get_target_property(headers ${target} HEADER_SET)
  get_target_property(base_dirs ${target} HEADER_DIRS)
  set(sources "")
  foreach(header IN LISTS headers)
    set(include "")
    foreach(base IN LISTS base_dirs)
      cmake_path(ABSOLUTE_PATH header BASE_DIRECTORY ${PROJECT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE path)
      cmake_path(IS_PREFIX base ${path} NORMALIZE inside)
      if(inside)
        cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${base} OUTPUT_VARIABLE include)
      endif()
    endforeach()
    if(NOT include)
      message(FATAL_ERROR "${header} lies in no base directory of ${target}")
    endif()
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}/${include}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include <@include@>\n#include <@include@>\n" @ONLY)
    list(APPEND sources ${source})
  endforeach()
  if(NOT sources)
    message(FATAL_ERROR "${target} has no headers to test")
  endif()

  set(objects nkv_header_${arg_NAME}_objects)
  add_library(${objects} OBJECT EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(${objects} PRIVATE ${target})
  nkv_own_target(${objects})

  set(executable nkv_header_${arg_NAME})
  add_executable(${executable} EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/header/main.cpp)
  # As files on the link line: CMake would drop the second mention of an object that is a source.
  target_link_libraries(${executable} PRIVATE ${target} $<TARGET_OBJECTS:${objects}>)
  target_link_options(${executable} PRIVATE $<TARGET_OBJECTS:${objects}>)
  add_dependencies(${executable} ${objects})
  nkv_own_target(${executable})

  # All broken headers at once, not the first alone.
  set(keep_going "")
  if(CMAKE_GENERATOR MATCHES "Ninja")
    set(keep_going -- -k 0)
  endif()
  nkv_add_check(
    NAME nkv.header.${arg_NAME} SERIAL
    LABELS header
    TIMEOUT 600
    COMMAND ${CMAKE_COMMAND} --build ${PROJECT_BINARY_DIR} --target ${executable} ${keep_going})
endfunction()
