#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "onnx_export/interpreter_broadcast.h"
#include "onnx_export/interpreter_op.h"

namespace vitrail::onnx_export::reference {
namespace {

// y, whose element (0, …) is x's element `first`, and whose axes advance by `steps` in x
void gather(const Tensor& x, std::int64_t first, const Dims& steps, Tensor& y) {
  const std::int64_t length = y.dims.empty() ? 1 : y.dims.back(), step = steps.empty() ? 0 : steps.back();
  for_each_row<1>(y.dims, {steps}, [&](std::int64_t out, const std::array<std::int64_t, 1>& from) {
    for (std::int64_t i = 0; i < length; ++i) {
      if (is_float(x.type)) {
        y.floats()[out + i] = x.floats()[first + from[0] + i * step];
      } else {
        y.whole()[out + i] = x.whole()[first + from[0] + i * step];
      }
    }
  });
}

// Steps of a dense tensor in memory.
Dims steps_in(const Dims& dims) {
  Dims steps(dims.size(), 1);
  for (std::size_t axis = dims.size(); axis-- > 1;)
    steps[axis - 1] = steps[axis] * dims[axis];
  return steps;
}

// Writes x into y, its element (0, …) at y's element `first`.
void scatter(const Tensor& x, Tensor& y, std::int64_t first) {
  const std::int64_t length = x.dims.empty() ? 1 : x.dims.back();
  const Dims steps = steps_in(y.dims);
  for_each_row<1>(x.dims, {steps}, [&](std::int64_t out, const std::array<std::int64_t, 1>& from) {
    if (is_float(x.type)) {
      std::copy_n(x.floats() + out, length, y.floats() + first + from[0]);
    } else {
      std::copy_n(x.whole() + out, length, y.whole() + first + from[0]);
    }
  });
}

void reshape(NodeRun& run) {
  const Tensor& x = run.in(0);
  Dims to = run.whole(1);
  const bool zero_is_zero = run.integer("allowzero", 0) != 0;
  std::int64_t known = 1, open = -1;
  for (std::size_t axis = 0; axis < to.size(); ++axis) {
    if (to[axis] == 0 && !zero_is_zero) {
      run.require(axis < x.dims.size(), "a 0 in the shape stands behind the last axis");
      to[axis] = x.dims[axis];
    }
    if (to[axis] == -1) {
      run.require(open < 0, "more than one -1 in the shape");
      open = static_cast<std::int64_t>(axis);
      continue;
    }
    run.require(to[axis] >= 1 && known <= x.count() / to[axis],
                fmt::format("a tensor {} cannot become {}", to_string(x.dims), to_string(run.whole(1))));
    known *= to[axis];
  }
  if (open >= 0) to[static_cast<std::size_t>(open)] = x.count() / known;
  run.require(open >= 0 ? x.count() % known == 0 : known == x.count(),
              fmt::format("a tensor {} cannot become {}", to_string(x.dims), to_string(run.whole(1))));
  run.out(0, x.reshaped(std::move(to)));
}

void transpose(NodeRun& run) {
  const Tensor& x = run.in(0);
  Dims order = run.integers("perm");
  if (!run.has("perm")) {
    order.resize(x.dims.size());
    std::iota(order.rbegin(), order.rend(), 0);
  }
  Dims sorted = order;
  std::sort(sorted.begin(), sorted.end());
  Dims counted(x.dims.size());
  std::iota(counted.begin(), counted.end(), 0);
  run.require(sorted == counted,
              fmt::format("attribute perm: {} is no order of {} axes", to_string(order), x.rank()));
  const Dims from = steps_in(x.dims);
  Dims dims, steps;
  for (const std::int64_t axis : order) {
    dims.push_back(x.extent(axis));
    steps.push_back(from[static_cast<std::size_t>(axis)]);
  }
  Tensor y = run.make(x.type, dims);
  gather(x, 0, steps, y);
  run.out(0, std::move(y));
}

Dims part_sizes(const NodeRun& run, std::int64_t extent) {
  if (run.optional(1) != nullptr) return run.whole(1);
  const auto parts = static_cast<std::int64_t>(run.outputs());
  if (run.opset() >= 18) {
    run.require(run.integer("num_outputs", 0) == parts, "attribute num_outputs is not the number of outputs");
  }
  const std::int64_t size = (extent + parts - 1) / parts;
  Dims sizes(run.outputs(), size);
  sizes.back() = extent - size * (parts - 1);
  return sizes;
}

void split(NodeRun& run) {
  const Tensor& x = run.in(0);
  const std::size_t axis = run.axis(run.integer("axis", 0), x);
  const Dims sizes = part_sizes(run, x.dims[axis]);
  run.require(sizes.size() == run.outputs(), "one size for each output is expected");
  const Dims steps = steps_in(x.dims);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    run.require(sizes[i] >= 1 && sizes[i] <= x.dims[axis] - begin,
                fmt::format("parts {} of an axis of {}", to_string(sizes), x.dims[axis]));
    Dims dims = x.dims;
    dims[axis] = sizes[i];
    Tensor y = run.make(x.type, dims);
    gather(x, begin * steps[axis], steps, y);
    begin += sizes[i];
    run.out(i, std::move(y));
  }
  run.require(begin == x.dims[axis],
              fmt::format("parts {} of an axis of {}", to_string(sizes), x.dims[axis]));
}

// One cut of Slice: begin, end and step of an axis, as Python's.
struct Cut {
  std::int64_t begin, step, count;
  Cut(std::int64_t extent, std::int64_t from, std::int64_t to, std::int64_t by) : step(by) {
    const std::int64_t low = by > 0 ? 0 : -1, high = by > 0 ? extent : extent - 1;
    const auto placed = [&](std::int64_t at) {
      return std::clamp(at < 0 ? std::max(at, -extent - 1) + extent : at, low, high);
    };
    begin = placed(from);
    const std::int64_t way = by > 0 ? placed(to) - begin : begin - placed(to);
    // |INT64_MIN| does not exist
    const std::uint64_t stride =
        by > 0 ? static_cast<std::uint64_t>(by) : std::uint64_t{0} - static_cast<std::uint64_t>(by);
    count = way <= 0 ? 0 : 1 + static_cast<std::int64_t>(static_cast<std::uint64_t>(way - 1) / stride);
    if (count == 1) step = 1;  // which may be too far to step at all
  }
};

void slice(NodeRun& run) {
  const Tensor& x = run.in(0);
  const Dims begins = run.whole(1), ends = run.whole(2);
  Dims axes(begins.size()), by(begins.size(), 1);
  std::iota(axes.begin(), axes.end(), 0);
  if (run.optional(3) != nullptr) axes = run.whole(3);
  if (run.optional(4) != nullptr) by = run.whole(4);
  run.require(ends.size() == begins.size() && axes.size() == begins.size() && by.size() == begins.size(),
              "starts, ends, axes and steps are of different lengths");
  Dims dims = x.dims, steps = steps_in(x.dims);
  std::vector<bool> cut(x.dims.size(), false);
  std::int64_t first = 0;
  for (std::size_t i = 0; i < begins.size(); ++i) {
    const std::size_t axis = run.axis(axes[i], x);
    run.require(!cut[axis], "an axis is named twice");
    run.require(by[i] != 0, "a step of 0");
    cut[axis] = true;
    const Cut part(x.dims[axis], begins[i], ends[i], by[i]);
    run.require(part.count > 0, fmt::format("nothing is left of axis {} of {}", axis, to_string(x.dims)));
    first += part.begin * steps[axis];
    dims[axis] = part.count;
    steps[axis] *= part.step;
  }
  Tensor y = run.make(x.type, dims);
  gather(x, first, steps, y);
  run.out(0, std::move(y));
}

void pad(NodeRun& run) {
  const Tensor& x = run.in(0);
  run.require(run.text("mode", "constant") == "constant",
              "attribute mode: this program computes constant only");
  const Dims pads = run.whole(1);
  Dims axes(x.dims.size());
  std::iota(axes.begin(), axes.end(), 0);
  if (run.optional(3) != nullptr) axes = run.whole(3);
  run.require(pads.size() == 2 * axes.size(), "two pads for each axis are expected");
  Dims dims = x.dims, before(x.dims.size(), 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = run.axis(axes[i], x);
    const std::int64_t behind = pads[axes.size() + i];
    run.require(
        pads[i] >= 0 && behind >= 0 && pads[i] < (std::int64_t{1} << 40) && behind < (std::int64_t{1} << 40),
        "pads from 0 to 2^40 are expected");
    run.require(before[axis] == 0 && dims[axis] == x.dims[axis], "an axis is named twice");
    before[axis] = pads[i];
    dims[axis] += pads[i] + behind;
  }
  Tensor y = run.make(x.type, dims);
  if (run.optional(2) != nullptr) {
    const Tensor& value = run.in(2);
    run.require(value.type == x.type && value.count() == 1, "expected one number of x's type as value");
    std::fill(y.elements->floats.begin(), y.elements->floats.end(), is_float(x.type) ? value.floats()[0] : 0);
    std::fill(y.elements->whole.begin(), y.elements->whole.end(), is_float(x.type) ? 0 : value.whole()[0]);
  }
  const Dims steps = steps_in(dims);
  scatter(x, y, std::inner_product(before.begin(), before.end(), steps.begin(), std::int64_t{0}));
  run.out(0, std::move(y));
}

void concat(NodeRun& run) {
  const Tensor& first = run.in(0);
  run.require(run.has("axis"), "attribute axis is missing");
  const std::size_t axis = run.axis(run.integer("axis", 0), first);
  Dims dims = first.dims;
  dims[axis] = 0;
  for (std::size_t i = 0; i < run.inputs(); ++i) {
    const Tensor& x = run.in(i);
    Dims fitting = first.dims;
    if (x.rank() == first.rank()) fitting[axis] = x.dims[axis];
    run.require(x.dims == fitting && x.type == first.type,
                fmt::format("{} {} and {} {} cannot be joined along axis {}", name_of(first.type),
                            to_string(first.dims), name_of(x.type), to_string(x.dims), axis));
    dims[axis] += x.dims[axis];
  }
  Tensor y = run.make(first.type, dims);
  const Dims steps = steps_in(dims);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < run.inputs(); ++i) {
    scatter(run.in(i), y, begin * steps[axis]);
    begin += run.in(i).dims[axis];
  }
  run.out(0, std::move(y));
}

// The extents of axes [start, end).
void shape(NodeRun& run) {
  const Tensor& x = run.in(0);
  const auto placed = [&](std::int64_t at) {
    return std::clamp(at < 0 ? std::max(at, -x.rank()) + x.rank() : at, std::int64_t{0}, x.rank());
  };
  const std::int64_t start = placed(run.integer("start", 0)), end = placed(run.integer("end", x.rank()));
  run.require(start < end, "no axis is left");
  Tensor y = run.make(Type::i64, {end - start});
  std::copy_n(x.dims.begin() + start, end - start, y.whole());
  run.out(0, std::move(y));
}

const std::vector<Op> kLayoutOps = {
    {"", "Reshape", 13, 2, 2, 1, {{"allowzero", kInt}}, reshape},
    {"", "Transpose", 13, 1, 1, 1, {{"perm", kInts}}, transpose},
    {"", "Split", 13, 1, 2, 1 << 10, {{"axis", kInt}, {"num_outputs", kInt}}, split},
    {"", "Slice", 13, 3, 5, 1, {}, slice},
    {"", "Pad", 13, 2, 4, 1, {{"mode", kString}}, pad},
    {"", "Concat", 13, 1, 1 << 10, 1, {{"axis", kInt}}, concat},
    {"", "Shape", 15, 1, 1, 1, {{"end", kInt}, {"start", kInt}}, shape},
};

}  // namespace

std::span<const Op> layout_ops() {
  return kLayoutOps;
}

}  // namespace vitrail::onnx_export::reference
