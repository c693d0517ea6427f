# safetensors and npz against PyPI's safetensors and NumPy: files of each read by the other, verdicts on wrong files.
find_package(fmt REQUIRED)
add_executable(weight_formats oracles/weight_formats.cpp support/format_safetensors.cpp)
target_link_libraries(weight_formats PRIVATE format fmt::fmt nlohmann_json::nlohmann_json)
add_test(NAME oracle_weight_formats
         COMMAND bash -c "bash ${PROJECT_SOURCE_DIR}/scripts/oracle-venv.sh && \
${PROJECT_SOURCE_DIR}/build/oracle-venv/bin/python ${CMAKE_CURRENT_SOURCE_DIR}/oracles/check_weight_formats.py \
$<TARGET_FILE:weight_formats> ${CMAKE_CURRENT_BINARY_DIR}/weight_formats_cases")
