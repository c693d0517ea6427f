#include "format/shard_box.h"

#include <algorithm>
#include <cstring>

namespace vitrail::format {
namespace {

// Bytes from one index of `axis` to the next in the dense elements of `box`.
std::uint64_t step_bytes(const Box& box, std::size_t axis, int bits) {
  std::uint64_t elements = 1;
  for (std::size_t i = axis + 1; i < box.extents.size(); ++i)
    elements *= static_cast<std::uint64_t>(box.extents[i]);
  return elements * static_cast<std::uint64_t>(bits) / 8;
}

// The first axis from which on the part is all of both boxes: what it has of them is one run of bytes.
std::size_t run_axis(const Box& part, const Box& from, const Box& to) {
  std::size_t axis = part.extents.empty() ? 0 : part.extents.size() - 1;
  while (axis > 0 && part.extents[axis] == from.extents[axis] && part.extents[axis] == to.extents[axis])
    --axis;
  return axis;
}

struct Copy {
  const Box &part, &from, &to;
  std::size_t last;  // copies runs along this axis
  int bits;

  void run(std::size_t axis, const std::byte* source, std::byte* target) const {
    const std::uint64_t from_step = axis_bytes(from, axis, 1), to_step = axis_bytes(to, axis, 1);
    source += axis_bytes(from, axis, part.start[axis] - from.start[axis]);
    target += axis_bytes(to, axis, part.start[axis] - to.start[axis]);
    if (axis == last) {
      std::memcpy(target, source, axis_bytes(from, axis, part.extents[axis]));
      return;
    }
    for (std::int64_t i = 0; i < part.extents[axis]; ++i)
      run(axis + 1, source + static_cast<std::uint64_t>(i) * from_step,
          target + static_cast<std::uint64_t>(i) * to_step);
  }

  // Of so many indices of an axis. Half bytes: only the last axis is counted in them, by pairs.
  std::uint64_t axis_bytes(const Box& box, std::size_t axis, std::int64_t indices) const {
    const auto count = static_cast<std::uint64_t>(indices);
    return bits < 8 && axis + 1 == box.extents.size() ? count * static_cast<std::uint64_t>(bits) / 8
                                                      : count * step_bytes(box, axis, bits);
  }
};

}  // namespace

Box whole(std::span<const std::int64_t> shape) {
  return {std::vector<std::int64_t>(shape.size(), 0), {shape.begin(), shape.end()}};
}

bool holds(const Box& outer, const Box& inner) {
  if (outer.start.size() != inner.start.size() || inner.start.size() != inner.extents.size()) return false;
  for (std::size_t axis = 0; axis < outer.start.size(); ++axis) {
    const std::int64_t first = inner.start[axis] - outer.start[axis];
    if (first < 0 || inner.extents[axis] < 0 || first > outer.extents[axis] ||
        inner.extents[axis] > outer.extents[axis] - first) {
      return false;
    }
  }
  return true;
}

std::optional<Box> intersection(const Box& a, const Box& b) {
  Box common;
  for (std::size_t axis = 0; axis < a.start.size(); ++axis) {
    const std::int64_t start = std::max(a.start[axis], b.start[axis]);
    const std::int64_t end = std::min(a.start[axis] + a.extents[axis], b.start[axis] + b.extents[axis]);
    if (end <= start) return std::nullopt;
    common.start.push_back(start);
    common.extents.push_back(end - start);
  }
  return common;
}

void copy_box(const Box& part, const Box& from, Bytes source, const Box& to, std::span<std::byte> target,
              int bits) {
  if (part.extents.empty()) {
    std::memcpy(target.data(), source.data(), source.size());
    return;
  }
  Copy{part, from, to, run_axis(part, from, to), bits}.run(0, source.data(), target.data());
}

}  // namespace vitrail::format
