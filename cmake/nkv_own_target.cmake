# What our own tests, tools, examples and benchmarks are compiled with. Never exported: a consumer's warnings and
# sanitizers are the consumer's choice.
include_guard(GLOBAL)

function(nkv_own_target target)
  target_compile_features(${target} PRIVATE cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(
    ${target}
    PRIVATE -Wall
            -Wextra
            -Wpedantic
            -Wconversion
            -Wsign-conversion
            -Wshadow
            -Wcast-align
            -Wcast-qual
            -Wold-style-cast
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wdouble-promotion
            -Wformat=2
            -Wimplicit-fallthrough
            -Wextra-semi
            -Wundef
            -Wvla)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 takes the inside of an empty std::optional for uninitialised, and short strings for overlapping or too long
    # (GCC bugs 105651 and 105329); clang and the sanitizers look at the same code.
    target_compile_options(${target} PRIVATE -Wduplicated-cond -Wlogical-op -Wno-maybe-uninitialized -Wno-array-bounds -Wno-restrict
                                             -Wno-stringop-overflow)
  endif()
  if(NKV_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  else()
    # A dropped status is a defect in every build, not a matter of taste.
    target_compile_options(${target} PRIVATE -Werror=unused-result)
  endif()
  if(NKV_NO_EXCEPTIONS)
    target_compile_options(${target} PRIVATE -fno-exceptions -fno-rtti)
  endif()
  if(NKV_SANITIZE)
    list(JOIN NKV_SANITIZE "," sanitizers)
    target_compile_options(${target} PRIVATE -fsanitize=${sanitizers} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${sanitizers})
  endif()
endfunction()
