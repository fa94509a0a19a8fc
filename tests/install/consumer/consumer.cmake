# What every CMake consumer does with the targets it has found.

enable_testing()

# A library that sets a consumer's warnings, definitions or language extensions is a nuisance.
foreach(target nkv::nkv nkv::device nkv::host nkv::cuda nkv::hip nkv::target)
  foreach(property INTERFACE_COMPILE_OPTIONS INTERFACE_COMPILE_DEFINITIONS INTERFACE_LINK_OPTIONS)
    get_target_property(value ${target} ${property})
    if(value)
      message(FATAL_ERROR "${target} sets ${property} to ${value}")
    endif()
  endforeach()
endforeach()

function(add_consumer name library)
  set(sources ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${name}.cpp ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${name}_second.cpp)
  add_executable(consumer_${name} ${sources})
  target_link_libraries(consumer_${name} PRIVATE ${library})
  target_compile_options(consumer_${name} PRIVATE -Wall -Wextra -Wpedantic -Werror)
  add_test(NAME ${name} COMMAND consumer_${name})
endfunction()
