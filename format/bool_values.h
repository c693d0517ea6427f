#pragma once
// What C++ asks of elements in other programs' files: alignment, and that a bool is 0 or 1.

#include <fmt/format.h>

#include <algorithm>

#include "format/bytes.h"
#include "format/error.h"
#include "format/tensor_record.h"

namespace vitrail::format {

// Whether elements of a known type may be read where they stand: on a multiple of their size, of 8 bytes at
// most.
inline bool is_aligned(const std::byte* at, ElementType type) {
  const auto size = static_cast<std::size_t>(std::clamp(*bits_of(type) / 8, 1, 8));
  return reinterpret_cast<std::uintptr_t>(at) % size == 0;
}

// Throws FormatError when there are others; looks at nothing of another type.
inline void check_bool_values(ElementType type, Bytes bytes) {
  if (type != ElementType::boolean) return;
  const auto bad = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; });
  if (bad == bytes.end()) return;
  throw FormatError(
      fmt::format("element {} is {}: a bool is 0 or 1", bad - bytes.begin(), std::to_integer<int>(*bad)));
}

}  // namespace vitrail::format
