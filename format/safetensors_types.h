#pragma once
// Element types by safetensors' names (safetensors/src/tensor.rs, Dtype), in its order.

#include <cstddef>
#include <string_view>

#include "format/tensor_record.h"

namespace vitrail::format {

struct SafetensorsType {
  const char* name;
  ElementType type;
};

// F6_E2M3 and F6_E3M2 stand behind F4; we have no elements of six bits.
inline constexpr SafetensorsType kSafetensorsTypes[] = {
    {"BOOL", ElementType::boolean},
    {"F4", ElementType::f4_e2m1},
    {"U8", ElementType::u8},
    {"I8", ElementType::i8},
    {"F8_E5M2", ElementType::f8_e5m2},
    {"F8_E4M3", ElementType::f8_e4m3fn},
    {"F8_E8M0", ElementType::f8_e8m0fnu},
    {"F8_E4M3FNUZ", ElementType::f8_e4m3fnuz},
    {"F8_E5M2FNUZ", ElementType::f8_e5m2fnuz},
    {"I16", ElementType::i16},
    {"U16", ElementType::u16},
    {"F16", ElementType::f16},
    {"BF16", ElementType::bf16},
    {"I32", ElementType::i32},
    {"U32", ElementType::u32},
    {"F32", ElementType::f32},
    {"C64", ElementType::c64},
    {"F64", ElementType::f64},
    {"I64", ElementType::i64},
    {"U64", ElementType::u64},
};

constexpr const SafetensorsType* safetensors_type(std::string_view name) {
  for (const SafetensorsType& row : kSafetensorsTypes) {
    if (name == row.name) return &row;
  }
  return nullptr;
}

constexpr const SafetensorsType* safetensors_type(ElementType type) {
  for (const SafetensorsType& row : kSafetensorsTypes) {
    if (type == row.type) return &row;
  }
  return nullptr;
}

}  // namespace vitrail::format
