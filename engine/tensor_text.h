#pragma once
// Tensors in words: roles, element types, shapes.

#include <string>
#include <string_view>
#include <vector>

#include "format/tensor_record.h"

namespace vitrail {

std::string role_text(format::Role role);                        // "parameter", …, "role 77"
format::Role parse_role(std::string_view name);                  // as above, or a number; throws ConfigError
std::string dtype_text(format::ElementType type);                // "f32", …, "type 43"
std::string shape_text(const std::vector<std::int64_t>& shape);  // "[768, 3, 16, 16]"
std::int64_t element_count(const std::vector<std::int64_t>& shape);

}  // namespace vitrail
