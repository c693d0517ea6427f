# The engine against PyTorch (Debian's python3-torch): logits, loss, gradients, ten AdamW steps.
add_executable(torch_parity oracles/torch_parity.cpp)
target_link_libraries(torch_parity PRIVATE engine nlohmann_json::nlohmann_json)
add_test(NAME oracle_torch
         COMMAND bash -c "rm -rf torch_parity_cases && mkdir torch_parity_cases && $<TARGET_FILE:torch_parity> \
torch_parity_cases && /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/oracles/check_torch.py torch_parity_cases")

# Weights under other libraries' names, written by PyTorch: imported, run, exported.
add_executable(import_parity oracles/import_parity.cpp)
target_link_libraries(import_parity PRIVATE engine nlohmann_json::nlohmann_json)
add_test(NAME oracle_import
         COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/oracles/check_import.py $<TARGET_FILE:import_parity>
                 ${CMAKE_CURRENT_BINARY_DIR}/import_cases)

# Trainings that begin in the one and end in the other.
add_executable(torch_takeover oracles/torch_takeover.cpp)
target_link_libraries(torch_takeover PRIVATE engine nlohmann_json::nlohmann_json)
add_test(NAME oracle_torch_takeover
         COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/oracles/torch_takeover.sh $<TARGET_FILE:torch_takeover>
                 /usr/bin/python3 torch_takeover_cases)
