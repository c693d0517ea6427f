// The operators that most graphs need.

#include <cassert>

#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

Value Graph::map(const std::string& scope, const std::string& op, const Value& x) {
  return add(scope, op, {x}, {x.dims, x.type});
}

Value Graph::map(const std::string& scope, const std::string& op, const Value& x, const Value& b) {
  assert(x.type == b.type);
  return add(scope, op, {x, b}, {x.dims, x.type});
}

Value Graph::cast(const std::string& scope, const Value& x, Type type) {
  if (x.type == type) return x;
  return add(scope, "Cast", {x}, {x.dims, type}, {{"to", static_cast<std::int64_t>(type)}});
}

Value Graph::matmul(const std::string& scope, const Value& a, const Value& b) {
  assert(a.dims.back() == b.dims[b.dims.size() - 2] && a.type == b.type);
  Dims dims = a.dims;
  dims.back() = b.dims.back();
  return add(scope, "MatMul", {a, b}, {std::move(dims), a.type});
}

Value Graph::softmax(const std::string& scope, const Value& x) {
  return add(scope, "Softmax", {x}, {x.dims, x.type},
             {{"axis", static_cast<std::int64_t>(x.dims.size()) - 1}});
}

Value Graph::reshape(const std::string& scope, const Value& x, const std::string& shape_name,
                     const Dims& dims) {
  return add(scope, "Reshape", {x, integers(shape_name, dims)}, {dims, x.type});
}

Value Graph::transpose(const std::string& scope, const Value& x, const Dims& permutation) {
  Dims dims;
  for (const std::int64_t axis : permutation)
    dims.push_back(x.dims[static_cast<std::size_t>(axis)]);
  return add(scope, "Transpose", {x}, {std::move(dims), x.type}, {{"perm", permutation}});
}

std::vector<Value> Graph::split(const std::string& scope, const Value& x, std::int64_t parts) {
  Dims dims = x.dims;
  dims.back() /= parts;
  const Dims sizes(static_cast<std::size_t>(parts), dims.back());
  const std::string sizes_name = "split." + std::to_string(parts) + "x" + std::to_string(dims.back());
  const std::vector<Output> outputs(static_cast<std::size_t>(parts), Output{dims, x.type});
  return add_many(scope, "Split", {x, integers(sizes_name, sizes)}, outputs,
                  {{"axis", static_cast<std::int64_t>(dims.size()) - 1}});
}

Value Graph::concat(const std::string& scope, const Value& a, const Value& b, std::int64_t axis) {
  Dims dims = a.dims;
  dims[static_cast<std::size_t>(axis)] += b.dims[static_cast<std::size_t>(axis)];
  return add(scope, "Concat", {a, b}, {std::move(dims), a.type}, {{"axis", axis}});
}

Value Graph::pad_rows(const std::string& scope, const Value& x, std::int64_t rows) {
  const Value pads = integers("pads.rows" + std::to_string(rows), {0, rows, 0, 0, 0, 0});
  return add(scope, "Pad", {x, pads}, {{x.dims[0], rows + x.dims[1], x.dims[2]}, x.type});
}

Value Graph::slice_rows(const std::string& scope, const Value& x, std::int64_t first, std::int64_t count,
                        std::int64_t axis) {
  Dims dims = x.dims;
  dims[static_cast<std::size_t>(axis)] = count;
  const Value begin = integers("row" + std::to_string(first), {first});
  const Value end = integers("row" + std::to_string(first + count), {first + count});
  const Value axes = integers("axis" + std::to_string(axis), {axis});
  return add(scope, "Slice", {x, begin, end, axes}, {std::move(dims), x.type});
}

// Until opset 17 the axes are an attribute, from 18 an input.
Value Graph::mean(const std::string& scope, const Value& x, std::int64_t axis) {
  Dims dims = x.dims;
  dims.erase(dims.begin() + axis);
  const Attribute keep{"keepdims", std::int64_t{0}};
  if (opset() < 18)
    return add(scope, "ReduceMean", {x}, {std::move(dims), x.type}, {{"axes", Dims{axis}}, keep});
  const Value axes = integers("axis" + std::to_string(axis), {axis});
  return add(scope, "ReduceMean", {x, axes}, {std::move(dims), x.type}, {keep});
}

}  // namespace vitrail::onnx_export
