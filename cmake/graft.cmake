# Build helpers: one library a folder of src/, one test executable a library.

add_library(graft_flags INTERFACE)
target_compile_options(graft_flags INTERFACE -Wall -Wextra -Werror=return-type -Wno-missing-field-initializers
                                             -fno-math-errno -ffp-contract=off)
target_compile_definitions(graft_flags INTERFACE SPDLOG_FMT_EXTERNAL)
target_include_directories(graft_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
if(GRAFT_SANITIZE)
  target_compile_options(graft_flags INTERFACE -fsanitize=${GRAFT_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all)
  target_link_options(graft_flags INTERFACE -fsanitize=${GRAFT_SANITIZE})
endif()

# graft_library(name SOURCES a.cc … DEPS base …): libgraft_<name>, linked with its declared dependencies alone.
function(graft_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(graft_${name} STATIC ${A_SOURCES})
  set_target_properties(graft_${name} PROPERTIES UNITY_BUILD ${GRAFT_UNITY})
  list(TRANSFORM A_DEPS PREPEND graft_)
  target_link_libraries(graft_${name} PUBLIC graft_flags ${A_DEPS} ${A_LIBS})
endfunction()

# graft_test(name SOURCES a_test.cc … DEPS name …): build/…/bin/<name>_test, run by ctest under the label unit. The library
# under test is linked whole and undefined symbols are errors, so a hidden dependency does not link.
function(graft_test name)
  if(NOT GRAFT_TESTS)
    return()
  endif()
  find_package(GTest REQUIRED)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name}_test ${A_SOURCES})
  list(TRANSFORM A_DEPS PREPEND graft_)
  target_link_libraries(${name}_test PRIVATE ${A_DEPS} ${A_LIBS} GTest::gmock GTest::gtest_main)
  target_link_options(${name}_test PRIVATE -Wl,-z,defs)
  add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS unit)
endfunction()

# graft_fuzz(name [LARGE] SOURCES name_fuzz.cc DEPS tf …): a libFuzzer target, built by the fuzz preset only. `fuzzers` builds
# them all, and only what they link, but for LARGE ones, which link what takes minutes: `make fuzz` builds these too.
add_custom_target(fuzzers)
function(graft_fuzz name)
  if(NOT GRAFT_FUZZ)
    return()
  endif()
  cmake_parse_arguments(A "LARGE" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name}_fuzz ${A_SOURCES})
  list(TRANSFORM A_DEPS PREPEND graft_)
  target_link_libraries(${name}_fuzz PRIVATE ${A_DEPS} ${A_LIBS})
  target_compile_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  if(NOT A_LARGE)
    add_dependencies(fuzzers ${name}_fuzz)
  endif()
endfunction()
