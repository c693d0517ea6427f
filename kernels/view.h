#pragma once
// What a kernel sees: pointer, dtype, shape. Views own nothing and are trivially copyable.
// Dense, row-major, last extent fastest. An absent optional operand is a view without data.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace vitrail {

// f64 exists so that the same model code can be checked against central differences; bf16 (the upper half of
// an f32) and int8 (with a scale beside it, kernels/quantize.h) are for what matrix products read: each op
// says which of its operands may be that.
enum class DType : std::uint8_t { f32, f64, bf16, int8 };

std::size_t size_of(DType dtype);  // bytes per element
const char* name_of(DType dtype);  // "f32", "f64", "bf16", "int8"

struct Shape {
  static constexpr int kMaxRank = 4;

  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<std::int64_t> extents) {
    for (std::int64_t extent : extents)
      dims[rank++] = extent;
  }

  constexpr std::int64_t operator[](int axis) const { return dims[axis]; }
  constexpr std::int64_t elements() const {
    std::int64_t product = 1;
    for (int axis = 0; axis < rank; ++axis)
      product *= dims[axis];
    return product;
  }
  friend constexpr bool operator==(const Shape&, const Shape&) = default;

  std::array<std::int64_t, kMaxRank> dims{};
  int rank = 0;
};

std::string to_string(const Shape& shape);  // "(2, 197, 192)"

// An operand that is read.
struct In {
  const void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  explicit operator bool() const { return data != nullptr; }
};

// An operand that is written.
struct Out {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  explicit operator bool() const { return data != nullptr; }
  operator In() const { return {data, dtype, shape}; }  // what was written may be read
};

// The same elements under another shape with the same element count.
In reshaped(In view, Shape shape);
Out reshaped(Out view, Shape shape);

// Rows [begin, begin + count) of the first axis.
In rows(In view, std::int64_t begin, std::int64_t count);
Out rows(Out view, std::int64_t begin, std::int64_t count);

}  // namespace vitrail
