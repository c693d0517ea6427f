# The second reader, format/python, against the C++ one: values, verdicts on the corpus, verdicts on damaged files.
find_package(fmt REQUIRED)
add_executable(python_cases format/python_cases.cpp support/format_file.cpp)
target_link_libraries(python_cases PRIVATE format fmt::fmt nlohmann_json::nlohmann_json)
add_test(NAME python_reader
         COMMAND bash -c "bash ${PROJECT_SOURCE_DIR}/scripts/oracle-venv.sh && \
${PROJECT_SOURCE_DIR}/build/oracle-venv/bin/python ${CMAKE_CURRENT_SOURCE_DIR}/format/check_python_reader.py \
$<TARGET_FILE:python_cases> ${CMAKE_CURRENT_BINARY_DIR}/python_reader")
