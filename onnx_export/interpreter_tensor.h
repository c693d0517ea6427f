#pragma once
// Tensors of the reference interpreter (interpreter.h). Elements are kept wide, in f32 or in 64-bit integers;
// the type says what they are rounded or cut to.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format/bytes.h"

namespace vitrail::onnx_export::reference {

using Dims = std::vector<std::int64_t>;  // extents, outermost first

// Numbered as TensorProto.DataType (onnx/onnx onnx/onnx.proto3).
enum class Type : std::int32_t { f32 = 1, u8 = 2, i8 = 3, i32 = 6, i64 = 7, boolean = 9, f16 = 10 };

const char* name_of(Type type);
std::string to_string(const Dims& dims);  // "[2, 197, 192]"
std::size_t size_of(Type type);           // bytes of an element in a file
bool is_float(Type type);
// Throws FormatError for a type that is not above.
Type checked_type(std::int64_t number, const std::string& what);
// The product of the extents. Throws FormatError when one is below 1 or there are more than 2^40 elements.
std::int64_t checked_elements(const Dims& dims, const std::string& what);

float rounded_to_f16(float x);  // to the nearest, ties to even; beyond 65,504 infinite
float f16_to_float(std::uint16_t bits);
std::uint16_t float_to_f16(float x);

struct Limits {
  std::uint64_t memory = std::uint64_t{8} << 30;      // bytes of all tensors alive at once
  std::uint64_t work = std::uint64_t{200} << 40;      // multiply-adds and elements touched in one run
  std::uint64_t structure = std::uint64_t{16} << 20;  // bytes of a file that are no tensor's elements
};

// What a run may take, counted before it is taken. Throws FormatError when a file asks for more.
class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  void take(std::uint64_t bytes);
  void give(std::uint64_t bytes) noexcept { live_ -= bytes; }
  void work(std::uint64_t operations);  // one product of two extents of tensors never overflows
  // a·b·c operations
  void work(std::int64_t a, std::int64_t b, std::int64_t c);
  std::uint64_t peak() const { return peak_; }

 private:
  Limits limits_;
  std::uint64_t live_ = 0, peak_ = 0, done_ = 0;
};

// Elements that views of several shapes may share.
class Elements {
 public:
  Elements(std::shared_ptr<Budget> budget, Type type, std::int64_t count);
  ~Elements() { budget_->give(bytes_); }
  Elements(const Elements&) = delete;
  Elements& operator=(const Elements&) = delete;

  std::vector<float> floats;        // of f32 and f16
  std::vector<std::int64_t> whole;  // of the others

 private:
  std::shared_ptr<Budget> budget_;
  std::uint64_t bytes_;
};

struct Tensor {
  Type type = Type::f32;
  Dims dims;
  std::shared_ptr<Elements> elements;

  std::int64_t count() const;
  std::int64_t rank() const { return static_cast<std::int64_t>(dims.size()); }
  std::int64_t extent(std::int64_t axis) const { return dims[static_cast<std::size_t>(axis)]; }
  // Only of the kind that the type has.
  const float* floats() const { return elements->floats.data(); }
  float* floats() { return elements->floats.data(); }
  const std::int64_t* whole() const { return elements->whole.data(); }
  std::int64_t* whole() { return elements->whole.data(); }

  Tensor reshaped(Dims to) const { return {type, std::move(to), elements}; }
  // An f16 tensor's elements, rounded; nothing for the others.
  void round();
  double at(std::int64_t index) const;
};

// Zero-filled. Throws FormatError for extents or a size that may not be.
Tensor make_tensor(const std::shared_ptr<Budget>& budget, Type type, Dims dims, const std::string& what);
// From little-endian bytes as they lie in a file, exactly as many as the shape wants.
Tensor decode_tensor(const std::shared_ptr<Budget>& budget, Type type, Dims dims, format::Bytes bytes,
                     const std::string& what);

// And back.
std::vector<std::byte> encode_tensor(const Tensor& tensor);

}  // namespace vitrail::onnx_export::reference
