# fuzz_container: the container's reader under libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#   cmake -S . -B build/fuzz -DVITRAIL_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++-14
#   cmake --build build/fuzz --target fuzz_container && build/fuzz/fuzz_container -max_total_time=60
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "VITRAIL_FUZZ needs clang: add -DCMAKE_CXX_COMPILER=clang++-14")
endif()
# The sources are compiled again, because the fuzzer steers by what it sees executed in them.
file(GLOB fuzzed CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/format/*.cpp)
add_executable(fuzz_container ${CMAKE_CURRENT_LIST_DIR}/fuzz_container.cpp
               ${PROJECT_SOURCE_DIR}/tests/support/format_file.cpp ${fuzzed})
set_target_properties(fuzz_container PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
target_compile_options(fuzz_container PRIVATE -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all)
target_link_options(fuzz_container PRIVATE -fsanitize=fuzzer,address,undefined)
target_link_libraries(fuzz_container PRIVATE vitrail_options fmt::fmt ${XXHASH_LIBRARY} ${URING_LIBRARY} Threads::Threads)
