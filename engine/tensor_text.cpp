#include "engine/tensor_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/keys.h"

namespace vitrail {
namespace {

using format::ElementType;
using format::Role;

struct RoleName {
  Role role;
  const char* name;
};

constexpr RoleName kRoles[] = {{Role::parameter, "parameter"},
                               {Role::buffer, "buffer"},
                               {Role::ema_parameter, "ema_parameter"},
                               {Role::ema_buffer, "ema_buffer"},
                               {Role::first_moment, "first_moment"},
                               {Role::second_moment, "second_moment"},
                               {Role::max_second_moment, "max_second_moment"},
                               {Role::momentum, "momentum"},
                               {Role::master_weight, "master_weight"},
                               {Role::accumulated_gradient, "accumulated_gradient"}};

struct TypeName {
  ElementType type;
  const char* name;
};

constexpr TypeName kTypes[] = {{ElementType::boolean, "bool"},
                               {ElementType::u8, "u8"},
                               {ElementType::i8, "i8"},
                               {ElementType::u16, "u16"},
                               {ElementType::i16, "i16"},
                               {ElementType::u32, "u32"},
                               {ElementType::i32, "i32"},
                               {ElementType::u64, "u64"},
                               {ElementType::i64, "i64"},
                               {ElementType::f16, "f16"},
                               {ElementType::bf16, "bf16"},
                               {ElementType::f32, "f32"},
                               {ElementType::f64, "f64"},
                               {ElementType::f8_e4m3fn, "f8_e4m3fn"},
                               {ElementType::f8_e5m2, "f8_e5m2"},
                               {ElementType::f8_e4m3fnuz, "f8_e4m3fnuz"},
                               {ElementType::f8_e5m2fnuz, "f8_e5m2fnuz"},
                               {ElementType::f8_e8m0fnu, "f8_e8m0fnu"},
                               {ElementType::c64, "c64"},
                               {ElementType::c128, "c128"},
                               {ElementType::i4, "i4"},
                               {ElementType::u4, "u4"},
                               {ElementType::f4_e2m1, "f4_e2m1"}};

}  // namespace

std::string role_text(Role role) {
  for (const RoleName& row : kRoles) {
    if (row.role == role) return row.name;
  }
  return fmt::format("role {}", static_cast<int>(role));
}

Role parse_role(std::string_view name) {
  std::vector<std::string> names;
  for (const RoleName& row : kRoles) {
    if (name == row.name) return row.role;
    names.emplace_back(row.name);
  }
  if (!name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos)
    return Role{
        static_cast<std::uint16_t>(parse_whole("--role", std::string(name), {.low = 0, .high = 65535}))};
  const std::string near = nearest(name, names);
  throw ConfigError(fmt::format("--role: no role is called '{}'; {}", name,
                                near.empty()
                                    ? fmt::format("use a number or one of {}", fmt::join(names, ", "))
                                    : fmt::format("did you mean '{}'?", near)));
}

std::string dtype_text(ElementType type) {
  for (const TypeName& row : kTypes) {
    if (row.type == type) return row.name;
  }
  return fmt::format("type {}", static_cast<int>(type));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::int64_t element_count(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

}  // namespace vitrail
