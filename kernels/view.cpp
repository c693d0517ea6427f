#include "kernels/view.h"

#include <cassert>

namespace vitrail {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 4;
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::int8:
      return 1;
  }
  assert(!"a DType that does not exist");
  return 0;
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::int8:
      return "int8";
  }
  assert(!"a DType that does not exist");
  return "";
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (int axis = 0; axis < shape.rank; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(shape[axis]);
  }
  return text + ")";
}

In reshaped(In view, Shape shape) {
  assert(view.shape.elements() == shape.elements());
  view.shape = shape;
  return view;
}

Out reshaped(Out view, Shape shape) {
  assert(view.shape.elements() == shape.elements());
  view.shape = shape;
  return view;
}

namespace {

std::size_t bytes_before_row(const In& view, std::int64_t begin, std::int64_t count) {
  assert(view.shape.rank > 0 && begin >= 0 && count >= 0 && begin + count <= view.shape[0]);
  static_cast<void>(count);
  if (begin == 0) return 0;
  const std::int64_t row = view.shape.elements() / view.shape[0];
  return static_cast<std::size_t>(begin * row) * size_of(view.dtype);
}

}  // namespace

In rows(In view, std::int64_t begin, std::int64_t count) {
  if (view) view.data = view.as<std::byte>() + bytes_before_row(view, begin, count);
  view.shape.dims[0] = count;
  return view;
}

Out rows(Out view, std::int64_t begin, std::int64_t count) {
  if (view) view.data = view.as<std::byte>() + bytes_before_row(view, begin, count);
  view.shape.dims[0] = count;
  return view;
}

}  // namespace vitrail
