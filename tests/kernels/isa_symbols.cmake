# Only in optimised builds: without inlining, every small function of a header is a shared symbol.
if(CMAKE_BUILD_TYPE MATCHES "Rel" AND NOT VITRAIL_SANITIZE)
  foreach(isa IN LISTS VITRAIL_CPU_ISAS)
    add_test(NAME isa_symbols_${isa}
             COMMAND ${CMAKE_CURRENT_LIST_DIR}/isa_symbols_test.sh ${CMAKE_NM} ${isa} $<TARGET_OBJECTS:kernels_cpu_${isa}>
             COMMAND_EXPAND_LISTS)
  endforeach()
endif()
