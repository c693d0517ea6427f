#pragma once
// Numpy's broadcasting, row by row.

#include "onnx_export/interpreter_op.h"

namespace vitrail::onnx_export::reference {

// The shape to which both broadcast. Throws FormatError, naming the node, when they do not.
inline Dims broadcast(const NodeRun& run, const Dims& a, const Dims& b) {
  Dims dims(std::max(a.size(), b.size()), 1);
  for (std::size_t back = 1; back <= dims.size(); ++back) {
    const std::int64_t left = back <= a.size() ? a[a.size() - back] : 1;
    const std::int64_t right = back <= b.size() ? b[b.size() - back] : 1;
    if (left != right && left != 1 && right != 1)
      run.fail("shapes " + to_string(a) + " and " + to_string(b) + " do not fit each other");
    dims[dims.size() - back] = std::max(left, right);
  }
  return dims;
}

// Steps in memory of a tensor (dims) for each axis of `to`, 0 along axes that it is repeated along.
inline Dims steps_of(const Dims& dims, const Dims& to) {
  Dims steps(to.size(), 0);
  std::int64_t step = 1;
  for (std::size_t back = 1; back <= dims.size(); ++back) {
    const std::int64_t extent = dims[dims.size() - back];
    if (extent != 1) steps[to.size() - back] = step;
    step *= extent;
  }
  return steps;
}

// Calls row(out, from) for the first element of each row of the last axis, where from is the place that the
// steps give.
template <std::size_t N, class Row>
void for_each_row(const Dims& dims, const std::array<Dims, N>& steps, const Row& row) {
  std::array<std::int64_t, N> from{};
  Dims at(dims.size(), 0);
  const std::int64_t length = dims.empty() ? 1 : dims.back();
  const std::size_t outer = dims.empty() ? 0 : dims.size() - 1;
  for (std::int64_t out = 0;; out += length) {
    row(out, from);
    std::size_t axis = outer;
    while (axis-- > 0) {
      for (std::size_t i = 0; i < N; ++i)
        from[i] += steps[i][axis];
      if (++at[axis] < dims[axis]) break;
      for (std::size_t i = 0; i < N; ++i)
        from[i] -= steps[i][axis] * dims[axis];
      at[axis] = 0;
    }
    if (axis == static_cast<std::size_t>(-1)) return;
  }
}

}  // namespace vitrail::onnx_export::reference
