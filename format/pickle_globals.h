#pragma once
// The names a pickle may mention. Each of them stands for data here; none of them is code.

#include <optional>
#include <string_view>

#include "format/tensor_record.h"

namespace vitrail::format::pickle {

enum class Meaning : std::uint8_t {
  ordered_dict,
  counter,
  name_space,
  tensor,     // _rebuild_tensor
  tensor_v2,  // _rebuild_tensor_v2
  tensor_v3,  // _rebuild_tensor_v3: with a dtype
  parameter,
  from_type,  // _rebuild_from_type_v2: a rebuilding function, a type, its arguments, attributes
  size,
  device,
  tensor_type,
  storage,          // of elements of `type`
  untyped_storage,  // of bytes
  dtype
};

struct Global {
  std::string_view module, name;
  Meaning meaning;
  ElementType type = ElementType::u8;
};

// clang-format off
inline constexpr Global kGlobals[] = {
    {"collections", "OrderedDict", Meaning::ordered_dict},
    {"collections", "Counter", Meaning::counter},
    {"argparse", "Namespace", Meaning::name_space},
    {"torch._utils", "_rebuild_tensor", Meaning::tensor},
    {"torch._utils", "_rebuild_tensor_v2", Meaning::tensor_v2},
    {"torch._utils", "_rebuild_tensor_v3", Meaning::tensor_v3},
    {"torch._utils", "_rebuild_parameter", Meaning::parameter},
    {"torch._tensor", "_rebuild_from_type_v2", Meaning::from_type},
    {"torch", "Size", Meaning::size},
    {"torch", "device", Meaning::device},
    {"torch", "Tensor", Meaning::tensor_type},
    {"torch.nn.parameter", "Parameter", Meaning::tensor_type},
    {"torch", "FloatStorage", Meaning::storage, ElementType::f32},
    {"torch", "DoubleStorage", Meaning::storage, ElementType::f64},
    {"torch", "HalfStorage", Meaning::storage, ElementType::f16},
    {"torch", "BFloat16Storage", Meaning::storage, ElementType::bf16},
    {"torch", "LongStorage", Meaning::storage, ElementType::i64},
    {"torch", "IntStorage", Meaning::storage, ElementType::i32},
    {"torch", "ShortStorage", Meaning::storage, ElementType::i16},
    {"torch", "CharStorage", Meaning::storage, ElementType::i8},
    {"torch", "ByteStorage", Meaning::storage, ElementType::u8},
    {"torch", "BoolStorage", Meaning::storage, ElementType::boolean},
    {"torch", "ComplexFloatStorage", Meaning::storage, ElementType::c64},
    {"torch", "ComplexDoubleStorage", Meaning::storage, ElementType::c128},
    {"torch.storage", "UntypedStorage", Meaning::untyped_storage},
    {"torch", "float32", Meaning::dtype, ElementType::f32},
    {"torch", "float64", Meaning::dtype, ElementType::f64},
    {"torch", "float16", Meaning::dtype, ElementType::f16},
    {"torch", "bfloat16", Meaning::dtype, ElementType::bf16},
    {"torch", "int64", Meaning::dtype, ElementType::i64},
    {"torch", "int32", Meaning::dtype, ElementType::i32},
    {"torch", "int16", Meaning::dtype, ElementType::i16},
    {"torch", "int8", Meaning::dtype, ElementType::i8},
    {"torch", "uint8", Meaning::dtype, ElementType::u8},
    {"torch", "uint16", Meaning::dtype, ElementType::u16},
    {"torch", "uint32", Meaning::dtype, ElementType::u32},
    {"torch", "uint64", Meaning::dtype, ElementType::u64},
    {"torch", "bool", Meaning::dtype, ElementType::boolean},
    {"torch", "complex64", Meaning::dtype, ElementType::c64},
    {"torch", "complex128", Meaning::dtype, ElementType::c128},
    {"torch", "float8_e4m3fn", Meaning::dtype, ElementType::f8_e4m3fn},
    {"torch", "float8_e5m2", Meaning::dtype, ElementType::f8_e5m2},
    {"torch", "float8_e4m3fnuz", Meaning::dtype, ElementType::f8_e4m3fnuz},
    {"torch", "float8_e5m2fnuz", Meaning::dtype, ElementType::f8_e5m2fnuz},
    {"torch", "float8_e8m0fnu", Meaning::dtype, ElementType::f8_e8m0fnu},
};
// clang-format on

// The global of a type's storage, or of its dtype; null where torch has none.
constexpr const Global* global_of(Meaning meaning, ElementType type) {
  for (const Global& global : kGlobals) {
    if (global.meaning == meaning && global.type == type) return &global;
  }
  return nullptr;
}

}  // namespace vitrail::format::pickle
