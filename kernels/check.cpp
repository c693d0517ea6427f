#include "kernels/check.h"

#include <sstream>

#include "kernels/error.h"

namespace vitrail {
namespace {

std::string describe(DType dtype, const Shape& shape) {
  return to_string(shape) + " " + name_of(dtype);
}

std::string describe(In view) {
  return view ? describe(view.dtype, view.shape) : "nothing";
}

bool extents_are_positive(const Shape& shape) {
  for (int axis = 0; axis < shape.rank; ++axis) {
    if (shape[axis] < 1) return false;
  }
  return true;
}

}  // namespace

void Contract::fail(const char* operand, const std::string& expected, const std::string& found) const {
  throw Error(std::string(op_) + ": " + operand + ": expected " + expected + ", found " + found);
}

void Contract::present(const char* operand, In view, int rank) const {
  if (view && (rank == 0 || view.shape.rank == rank) && extents_are_positive(view.shape)) return;
  const std::string axes = rank == 0 ? "a tensor" : "a tensor of rank " + std::to_string(rank);
  fail(operand, axes + " with extents of at least 1", describe(view));
}

void Contract::operand(const char* operand, In view, DType dtype, const Shape& shape) const {
  if (view && view.dtype == dtype && view.shape == shape) return;
  fail(operand, describe(dtype, shape), describe(view));
}

void Contract::optional(const char* operand, In view, DType dtype, const Shape& shape) const {
  if (!view || (view.dtype == dtype && view.shape == shape)) return;
  fail(operand, describe(dtype, shape) + " or nothing", describe(view));
}

void Contract::wide(const char* operand, In view) const {
  if (!view || view.dtype == DType::f32 || view.dtype == DType::f64) return;
  fail(operand, to_string(view.shape) + " f32 or f64", describe(view));
}

void Contract::together(const char* first, In a, const char* second, In b) const {
  if (static_cast<bool>(a) == static_cast<bool>(b)) return;
  const char* lacking = a ? second : first;
  const char* given = a ? first : second;
  fail(lacking, std::string("it together with ") + given + ", or neither", "only " + std::string(given));
}

void Contract::require(bool holds, const char* operand, const char* expected, double found) const {
  if (holds) return;
  std::ostringstream text;
  text << found;
  fail(operand, expected, text.str());
}

void Contract::dropout(const char* operand, const Dropout& dropout) const {
  require(dropout.rate >= 0 && dropout.rate < 1, operand, "a rate in [0, 1)", dropout.rate);
  require(dropout.key.layer < 1U << 16, operand, "a layer below 65536", dropout.key.layer);
}

DType statistics_dtype(DType data) {
  return data == DType::f64 ? data : DType::f32;
}

}  // namespace vitrail
