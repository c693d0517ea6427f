#pragma once
// Boxes of elements: what part of a tensor a shard holds, or a reader wants.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "format/bytes.h"

namespace vitrail::format {

struct Box {
  std::vector<std::int64_t> start, extents;  // one each an axis
  friend bool operator==(const Box&, const Box&) = default;
};

Box whole(std::span<const std::int64_t> shape);
bool holds(const Box& outer, const Box& inner);
// What two boxes of one tensor share; nothing when that has no elements.
std::optional<Box> intersection(const Box& a, const Box& b);
// Elements of `part`, copied from the dense row-major elements of `from` to those of `to`. Both hold the
// part.
void copy_box(const Box& part, const Box& from, Bytes source, const Box& to, std::span<std::byte> target,
              int bits);

}  // namespace vitrail::format
