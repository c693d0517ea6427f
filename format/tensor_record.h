#pragma once
// Name, role, element type, shape, bytes: what every format reads into and writes from.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vitrail::format {

// Codes of SPEC.md, "Element types".
enum class ElementType : std::uint8_t {
  boolean = 1,
  u8 = 2,
  i8 = 3,
  u16 = 4,
  i16 = 5,
  u32 = 6,
  i32 = 7,
  u64 = 8,
  i64 = 9,
  f16 = 16,
  bf16 = 17,
  f32 = 18,
  f64 = 19,
  f8_e4m3fn = 24,
  f8_e5m2 = 25,
  f8_e4m3fnuz = 26,
  f8_e5m2fnuz = 27,
  f8_e8m0fnu = 28,
  c64 = 32,
  c128 = 33,
  i4 = 40,
  u4 = 41,
  f4_e2m1 = 42,
};

// Bits of one element, or nothing for a code this build does not know.
constexpr std::optional<int> bits_of(ElementType type) {
  switch (type) {
    case ElementType::i4:
    case ElementType::u4:
    case ElementType::f4_e2m1:
      return 4;
    case ElementType::boolean:
    case ElementType::u8:
    case ElementType::i8:
    case ElementType::f8_e4m3fn:
    case ElementType::f8_e5m2:
    case ElementType::f8_e4m3fnuz:
    case ElementType::f8_e5m2fnuz:
    case ElementType::f8_e8m0fnu:
      return 8;
    case ElementType::u16:
    case ElementType::i16:
    case ElementType::f16:
    case ElementType::bf16:
      return 16;
    case ElementType::u32:
    case ElementType::i32:
    case ElementType::f32:
      return 32;
    case ElementType::u64:
    case ElementType::i64:
    case ElementType::f64:
    case ElementType::c64:
      return 64;
    case ElementType::c128:
      return 128;
  }
  return std::nullopt;
}

// What a tensor is to the model. 64..255 are named by the user.
enum class Role : std::uint16_t {
  parameter = 0,
  buffer = 1,
  ema_parameter = 2,
  ema_buffer = 3,
  first_moment = 16,
  second_moment = 17,
  max_second_moment = 18,
  momentum = 19,
  master_weight = 20,
  accumulated_gradient = 32,
};

struct TensorRecord {
  std::string name;
  Role role = Role::parameter;
  ElementType type = ElementType::f32;
  std::vector<std::int64_t> shape;   // row-major, dense, at most 8 axes
  std::span<const std::byte> bytes;  // little-endian elements; owned by whoever made the record
  // Of a tied weight: the tensor of the same role, type and number of elements whose bytes it shares. When
  // written, its own bytes are not looked at; the file gives the bytes to whichever name comes first.
  std::string alias_of = {};
  // The directory entry it was read from: a copy keeps what a later version has put there.
  std::span<const std::byte> entry = {};
};

}  // namespace vitrail::format
