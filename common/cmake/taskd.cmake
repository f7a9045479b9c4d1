# Helpers that every folder's CMakeLists.txt uses: one call a target, so that flags live in one place.

add_library(taskd_flags INTERFACE)
target_compile_features(taskd_flags INTERFACE cxx_std_20)
target_compile_options(taskd_flags INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers
                       -fno-omit-frame-pointer)
# For no processor in particular gcc clears a record of 100 bytes by microcode, which waits until every
# store before it is done: 30 ns at each of them. It runs on any processor all the same.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(taskd_flags INTERFACE -mtune=skylake)
endif()
# A file that is compiled with others counts as included: its types may have members of its own namespace.
if(TASKD_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(taskd_flags INTERFACE -Wno-subobject-linkage)
endif()
target_include_directories(taskd_flags INTERFACE ${PROJECT_SOURCE_DIR})
if(TASKD_SANITIZE)
  target_compile_options(taskd_flags INTERFACE -fsanitize=${TASKD_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(taskd_flags INTERFACE -fsanitize=${TASKD_SANITIZE})
endif()

# taskd_unite(TARGET): with TASKD_UNITY its files are compiled a few as one, so that what they include is
# parsed once for all of them, and instrumented once.
if(TASKD_UNITY)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()
function(taskd_unite name)
  get_target_property(sources ${name} SOURCES)
  list(LENGTH sources count)
  if(NOT TASKD_UNITY OR count LESS 2)
    return()
  endif()
  set(script ${PROJECT_SOURCE_DIR}/common/cmake/unity.py)
  execute_process(COMMAND ${Python3_EXECUTABLE} -B ${script} 12 ${CMAKE_CURRENT_SOURCE_DIR} ${sources}
                  OUTPUT_VARIABLE lines OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE ";" "," lines "${lines}")
  string(REPLACE "\n" ";" lines "${lines}")
  set(number 0)
  foreach(line ${lines})
    math(EXPR number "${number} + 1")
    string(REPLACE "," ";" batch "${line}")
    set_source_files_properties(${batch} PROPERTIES UNITY_GROUP ${name}_${number})
  endforeach()
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

# The allocator of every program: less time in malloc, and in waiting for memory that is scattered less. The
# sanitizers bring their own.
add_library(taskd_malloc INTERFACE)
if(NOT TASKD_SANITIZE)
  find_package(mimalloc 2.0 REQUIRED)
  target_link_libraries(taskd_malloc INTERFACE mimalloc)
  target_compile_definitions(taskd_malloc INTERFACE TASKD_MIMALLOC)
  # No program names a symbol of it. All else only as needed: loading libraries is most of a start of taskctl.
  target_link_options(taskd_malloc INTERFACE LINKER:--as-needed,--undefined=mi_version)
endif()

# taskd_library(NAME SOURCES a.cc ... DEPS public link targets ... PRIVATE_DEPS targets not re-exported)
# A library without sources is an interface library.
function(taskd_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(A_SOURCES)
    add_library(${name} STATIC ${A_SOURCES})
    target_link_libraries(${name} PUBLIC taskd_flags ${A_DEPS} PRIVATE ${A_PRIVATE_DEPS})
    taskd_unite(${name})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE taskd_flags ${A_DEPS})
  endif()
endfunction()

# taskd_binary(NAME SOURCES ... DEPS ...): lands in build/<preset>/bin.
function(taskd_binary name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE taskd_flags taskd_malloc ${A_DEPS})
  taskd_unite(${name})
endfunction()

# taskd_test(NAME SOURCES ... DEPS ... LABELS ...): one GoogleTest binary, one ctest entry.
function(taskd_test name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE taskd_flags ${A_DEPS} GTest::gmock GTest::gtest_main)
  taskd_unite(${name})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT 300)
endfunction()

# taskd_precompile(TARGET HEADER...): for targets whose files all parse the same hot headers.
# taskd_precompile(TARGET REUSE_FROM OTHER): what OTHER has precompiled already; both need the same flags.
function(taskd_precompile name)
  if("${ARGV1}" STREQUAL "REUSE_FROM")
    target_precompile_headers(${name} REUSE_FROM ${ARGV2})
  else()
    target_precompile_headers(${name} PRIVATE ${ARGN})
  endif()
  # Else ccache does not see what the precompiled header was made of, and may serve a stale object.
  target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endfunction()
