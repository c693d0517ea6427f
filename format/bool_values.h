#pragma once
// Bools of other programs' files: whatever takes them for C++ bools needs 0 or 1.

#include <fmt/format.h>

#include <algorithm>

#include "format/bytes.h"
#include "format/error.h"
#include "format/tensor_record.h"

namespace vitrail::format {

// Throws FormatError when there are others; looks at nothing of another type.
inline void check_bool_values(ElementType type, Bytes bytes) {
  if (type != ElementType::boolean) return;
  const auto bad = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; });
  if (bad == bytes.end()) return;
  throw FormatError(
      fmt::format("element {} is {}: a bool is 0 or 1", bad - bytes.begin(), std::to_integer<int>(*bad)));
}

}  // namespace vitrail::format
