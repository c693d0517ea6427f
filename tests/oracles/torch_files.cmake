# `.pt` against PyTorch (Debian's python3-torch): its files read by us, ours by it.
add_executable(torch_files oracles/torch_files.cpp)
target_link_libraries(torch_files PRIVATE format nlohmann_json::nlohmann_json)
add_test(NAME oracle_torch_files
         COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/oracles/check_torch_files.py torch_file_cases
                 $<TARGET_FILE:torch_files>)
