# What reads ONNX files, under libFuzzer: taking apart, loading, the interpreter, the checks; seeds/ holds a small
# file for each operator (tests/oracles/check_interpreter.py seeds). libonnx and libprotobuf are as Debian built them.
find_package(Protobuf REQUIRED)
find_package(ONNX REQUIRED)
find_package(nlohmann_json REQUIRED)
file(GLOB fuzzed_onnx CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/onnx_export/interpreter*.cpp)
list(APPEND fuzzed_onnx ${PROJECT_SOURCE_DIR}/onnx_export/model_parts.cpp ${PROJECT_SOURCE_DIR}/onnx_export/official_check.cpp
     ${PROJECT_SOURCE_DIR}/onnx_export/ops.cpp ${PROJECT_SOURCE_DIR}/onnx_export/products_plain.cpp
     ${PROJECT_SOURCE_DIR}/onnx_export/self_test.cpp ${PROJECT_SOURCE_DIR}/onnx_export/self_test_text.cpp
     ${PROJECT_SOURCE_DIR}/onnx_export/verify_onnx.cpp ${PROJECT_SOURCE_DIR}/onnx_export/wire.cpp)
add_executable(fuzz_onnx EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/fuzz_onnx.cpp ${fuzzed_onnx}
               $<TARGET_OBJECTS:fuzzed_format>)
set_target_properties(fuzz_onnx PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
target_compile_options(fuzz_onnx PRIVATE -O1 -g -fsanitize=fuzzer,${sanitizers} -fno-sanitize-recover=all)
target_link_options(fuzz_onnx PRIVATE -fsanitize=fuzzer,${sanitizers})
target_link_libraries(fuzz_onnx PRIVATE vitrail_options onnx onnx_proto nlohmann_json::nlohmann_json fmt::fmt
                      ${XXHASH_LIBRARY} ${URING_LIBRARY} ${DEFLATE_LIBRARY} Threads::Threads)
add_dependencies(fuzzers fuzz_onnx)
