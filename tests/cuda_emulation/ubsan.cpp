// Kernels are compiled with -fsanitize=alignment,bounds, whose findings come to these functions in place of
// the sanitizer's library: a vector load from a misaligned address, and an index beyond an array, name
// kernel, block, thread and line. (In builds that have the sanitizer's own library, that one reports.)

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/cuda_emulation/fault.h"

namespace {

// As compilers write them (compiler-rt, lib/ubsan/ubsan_handlers.h and ubsan_value.h).
struct SourceLocation {
  const char* file;
  std::uint32_t line, column;
  cuda_emulation::Site site() const { return {file, static_cast<int>(line)}; }
};

struct TypeDescriptor {
  std::uint16_t kind, info;
  char name[1];
};

struct TypeMismatch {
  SourceLocation location;
  const TypeDescriptor* type;
  unsigned char log_alignment, check;
};

struct OutOfBounds {
  SourceLocation location;
  const TypeDescriptor *array, *index;
};

}  // namespace

extern "C" {

[[gnu::weak]] void __ubsan_handle_type_mismatch_v1(const TypeMismatch* data, std::uintptr_t address) {
  cuda_emulation::fail("misaligned access: the address ends in " + std::to_string(address % 256) +
                           " (modulo 256), the type " + data->type->name + " wants a multiple of " +
                           std::to_string(1u << data->log_alignment),
                       data->location.site());
}

[[gnu::weak]] void __ubsan_handle_type_mismatch_v1_abort(const TypeMismatch* data, std::uintptr_t address) {
  __ubsan_handle_type_mismatch_v1(data, address);
}

[[gnu::weak]] void __ubsan_handle_out_of_bounds(const OutOfBounds* data, std::uintptr_t index) {
  cuda_emulation::fail("index " + std::to_string(static_cast<std::intptr_t>(index)) +
                           " lies outside an array of the type " + data->array->name,
                       data->location.site());
}

[[gnu::weak]] void __ubsan_handle_out_of_bounds_abort(const OutOfBounds* data, std::uintptr_t index) {
  __ubsan_handle_out_of_bounds(data, index);
}

}  // extern "C"
