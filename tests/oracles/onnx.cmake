# onnxruntime from PyPI as oracle: exported files against the engine's own logits.
add_executable(onnx_parity oracles/onnx_parity.cpp)
target_link_libraries(onnx_parity PRIVATE onnx_export)
add_test(NAME oracle_onnxruntime
         COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/oracles/onnxruntime_test.sh $<TARGET_FILE:onnx_parity>
                 $<TARGET_FILE:vitrail> ${CMAKE_CURRENT_BINARY_DIR}/onnxruntime)
# Each operator of the reference interpreter against onnxruntime's.
add_executable(interpret oracles/interpret.cpp)
target_link_libraries(interpret PRIVATE onnx_export)
add_test(NAME oracle_interpreter
         COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/oracles/interpreter_test.sh $<TARGET_FILE:interpret>
                 ${CMAKE_CURRENT_BINARY_DIR}/interpreter)
