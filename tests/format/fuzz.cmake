# What reads a container, under libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer; scripts/fuzz.sh builds
# and runs all of it. tests/corpus holds the seeds of every target.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "VITRAIL_FUZZ needs clang: add -DCMAKE_CXX_COMPILER=clang++-14")
endif()
# The sources are compiled again, because the fuzzer steers by what it sees executed in them.
set(sanitizers address,undefined,float-cast-overflow)
file(GLOB fuzzed CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/format/*.cpp)
add_library(fuzzed_format OBJECT EXCLUDE_FROM_ALL ${fuzzed} ${PROJECT_SOURCE_DIR}/tests/support/format_file.cpp
            ${PROJECT_SOURCE_DIR}/tests/support/format_mutator.cpp)
target_include_directories(fuzzed_format SYSTEM PRIVATE ${XXHASH_INCLUDE_DIR} ${URING_INCLUDE_DIR} ${DEFLATE_INCLUDE_DIR})
target_link_libraries(fuzzed_format PUBLIC vitrail_options PRIVATE fmt::fmt)
target_compile_options(fuzzed_format PUBLIC -O1 -g -fsanitize=fuzzer-no-link,${sanitizers} -fno-sanitize-recover=all)

add_custom_target(fuzzers)
function(add_fuzzer name)
  add_executable(fuzz_${name} EXCLUDE_FROM_ALL ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/fuzz_${name}.cpp ${ARGN}
                 $<TARGET_OBJECTS:fuzzed_format>)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  target_compile_options(fuzz_${name} PRIVATE -O1 -g -fsanitize=fuzzer,${sanitizers} -fno-sanitize-recover=all)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer,${sanitizers})
  target_link_libraries(fuzz_${name} PRIVATE vitrail_options fmt::fmt ${XXHASH_LIBRARY} ${URING_LIBRARY} ${DEFLATE_LIBRARY}
                        Threads::Threads)
  add_dependencies(fuzzers fuzz_${name})
endfunction()

add_fuzzer(verifier)
add_fuzzer(message)
add_fuzzer(container)
foreach(name safetensors npz json zip pickle)
  add_fuzzer(${name})
endforeach()
# The engine's half of reading a file. What these sources call besides is never reached, and may stay undefined:
# image processing and the backends themselves.
set(engine ${PROJECT_SOURCE_DIR}/engine)
set(decoders checkpoint init_keys key_parse keys model_io model_keys nearest optimizer param_set schedule sections
    tensor_text train_config update_gate vit_config data/transform)
list(TRANSFORM decoders PREPEND ${engine}/)
list(TRANSFORM decoders APPEND .cpp)
add_fuzzer(sections ${decoders} ${PROJECT_SOURCE_DIR}/kernels/backend.cpp ${PROJECT_SOURCE_DIR}/kernels/view.cpp)
target_link_options(fuzz_sections PRIVATE -no-pie -Wl,--unresolved-symbols=ignore-all)
include(${CMAKE_CURRENT_LIST_DIR}/../onnx_export/fuzz.cmake)
