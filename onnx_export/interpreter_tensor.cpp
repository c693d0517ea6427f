#include "onnx_export/interpreter_tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "format/error.h"

namespace vitrail::onnx_export::reference {
namespace {

using format::FormatError;

constexpr std::int64_t kMostElements = std::int64_t{1} << 40;

template <class T>
void widen(format::Bytes bytes, std::vector<std::int64_t>& to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    to[i] = static_cast<std::int64_t>(element);
  }
}

}  // namespace

const char* name_of(Type type) {
  switch (type) {
    case Type::f32:
      return "float32";
    case Type::u8:
      return "uint8";
    case Type::i8:
      return "int8";
    case Type::i32:
      return "int32";
    case Type::i64:
      return "int64";
    case Type::boolean:
      return "bool";
    case Type::f16:
      return "float16";
  }
  return "?";
}

std::string to_string(const Dims& dims) {
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

std::size_t size_of(Type type) {
  switch (type) {
    case Type::u8:
    case Type::i8:
    case Type::boolean:
      return 1;
    case Type::f16:
      return 2;
    case Type::i64:
      return 8;
    default:
      return 4;
  }
}

bool is_float(Type type) {
  return type == Type::f32 || type == Type::f16;
}

Type checked_type(std::int64_t number, const std::string& what) {
  switch (number) {
    case 1:
    case 2:
    case 3:
    case 6:
    case 7:
    case 9:
    case 10:
      return static_cast<Type>(number);
    default:
      throw FormatError(fmt::format(
          "{}: expected float32, float16, uint8, int8, int32, int64 or bool, found element type {}", what,
          number));
  }
}

std::int64_t checked_elements(const Dims& dims, const std::string& what) {
  std::int64_t product = 1;
  for (const std::int64_t extent : dims) {
    if (extent < 1 || extent > kMostElements / product)
      throw FormatError(fmt::format("{}: expected extents from 1 and at most 2^40 elements, found {}", what,
                                    to_string(dims)));
    product *= extent;
  }
  return product;
}

std::uint16_t float_to_f16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint16_t sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return static_cast<std::uint16_t>(sign | 0x7E00);   // NaN
  if (magnitude >= 0x477FF000) return static_cast<std::uint16_t>(sign | 0x7C00);  // 65,520 and above
  if (magnitude < 0x38800000) {  // below 2^-14: steps of 2^-24
    const float steps = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24F);
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(steps));
  }
  const std::uint32_t even = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<std::uint16_t>(sign | ((even - 0x38000000) >> 13));
}

float f16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t exponent = bits >> 10 & 31, fraction = bits & 0x3FF;
  if (exponent == 0) {
    const float small = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -small : small;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

float rounded_to_f16(float x) {
  return f16_to_float(float_to_f16(x));
}

void Budget::take(std::uint64_t bytes) {
  if (bytes > limits_.memory || live_ > limits_.memory - bytes)
    throw FormatError(
        fmt::format("the graph asks for more than the {} bytes of memory that it may use", limits_.memory));
  live_ += bytes;
  peak_ = std::max(peak_, live_);
}

void Budget::work(std::uint64_t operations) {
  if (operations > limits_.work - done_)
    throw FormatError(
        fmt::format("the graph asks for more than the {} operations that it may take", limits_.work));
  done_ += operations;
}

void Budget::work(std::int64_t a, std::int64_t b, std::int64_t c) {
  const double product = static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
  work(product < 1e18 ? static_cast<std::uint64_t>(product) : limits_.work + 1);
}

Elements::Elements(std::shared_ptr<Budget> budget, Type type, std::int64_t count)
    : budget_(std::move(budget)), bytes_(static_cast<std::uint64_t>(count) * (is_float(type) ? 4 : 8)) {
  budget_->take(bytes_);
  budget_->work(static_cast<std::uint64_t>(count));
  if (is_float(type)) {
    floats.resize(static_cast<std::size_t>(count));
  } else {
    whole.resize(static_cast<std::size_t>(count));
  }
}

std::int64_t Tensor::count() const {
  return static_cast<std::int64_t>(is_float(type) ? elements->floats.size() : elements->whole.size());
}

void Tensor::round() {
  if (type != Type::f16) return;
  for (float& element : elements->floats)
    element = rounded_to_f16(element);
}

double Tensor::at(std::int64_t index) const {
  return is_float(type) ? static_cast<double>(floats()[index]) : static_cast<double>(whole()[index]);
}

Tensor make_tensor(const std::shared_ptr<Budget>& budget, Type type, Dims dims, const std::string& what) {
  const std::int64_t count = checked_elements(dims, what);
  return {type, std::move(dims), std::make_shared<Elements>(budget, type, count)};
}

Tensor decode_tensor(const std::shared_ptr<Budget>& budget, Type type, Dims dims, format::Bytes bytes,
                     const std::string& what) {
  const std::int64_t count = checked_elements(dims, what);
  if (bytes.size() != static_cast<std::size_t>(count) * size_of(type))
    throw FormatError(fmt::format("{}: expected {} bytes for {} {}, found {}", what,
                                  static_cast<std::size_t>(count) * size_of(type), name_of(type),
                                  to_string(dims), bytes.size()));
  Tensor tensor = make_tensor(budget, type, std::move(dims), what);
  std::vector<std::int64_t>& whole = tensor.elements->whole;
  switch (type) {
    case Type::f32:
      std::memcpy(tensor.floats(), bytes.data(), bytes.size());
      break;
    case Type::f16:
      for (std::int64_t i = 0; i < count; ++i) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, bytes.data() + 2 * i, 2);
        tensor.floats()[i] = f16_to_float(bits);
      }
      break;
    case Type::i64:
      widen<std::int64_t>(bytes, whole);
      break;
    case Type::i32:
      widen<std::int32_t>(bytes, whole);
      break;
    case Type::i8:
      widen<std::int8_t>(bytes, whole);
      break;
    case Type::u8:
    case Type::boolean:
      widen<std::uint8_t>(bytes, whole);
      break;
  }
  return tensor;
}

std::vector<std::byte> encode_tensor(const Tensor& tensor) {
  const auto count = static_cast<std::size_t>(tensor.count());
  std::vector<std::byte> bytes(count * size_of(tensor.type));
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* to = bytes.data() + i * size_of(tensor.type);
    if (tensor.type == Type::f32) {
      std::memcpy(to, tensor.floats() + i, 4);
    } else if (tensor.type == Type::f16) {
      const std::uint16_t half = float_to_f16(tensor.floats()[i]);
      std::memcpy(to, &half, 2);
    } else {
      std::memcpy(to, tensor.whole() + i, size_of(tensor.type));  // little-endian
    }
  }
  return bytes;
}

}  // namespace vitrail::onnx_export::reference
