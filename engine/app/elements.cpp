#include "engine/app/elements.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "format/error.h"

namespace vitrail::app {
namespace {

using format::Bytes;
using format::ElementType;

// What the largest codes of a small float stand for.
enum class Special : std::uint8_t {
  ieee,    // exponent of ones: infinity, or NaN
  fn,      // all ones: NaN; no infinity
  fnuz,    // minus zero: NaN; no infinity
  finite,  // nothing
};

double decode_float(unsigned code, int exponent_bits, int fraction_bits, int bias, Special special) {
  const unsigned fraction = code & ((1U << fraction_bits) - 1);
  const unsigned largest = (1U << exponent_bits) - 1;
  const unsigned exponent = code >> fraction_bits & largest;
  const bool negative = (code >> (exponent_bits + fraction_bits) & 1U) != 0;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (special == Special::fnuz && negative && exponent == 0 && fraction == 0) return nan;
  if (special == Special::fn && exponent == largest && fraction == (1U << fraction_bits) - 1) return nan;
  double value = 0;
  if (special == Special::ieee && exponent == largest) {
    if (fraction != 0) return nan;
    value = std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    value = std::ldexp(fraction, 1 - bias - fraction_bits);
  } else {
    value = std::ldexp(fraction + (1U << fraction_bits), static_cast<int>(exponent) - bias - fraction_bits);
  }
  return negative ? -value : value;
}

template <class T>
T at(Bytes bytes, std::uint64_t index) {
  return format::get<T>(bytes, index * sizeof(T));
}

unsigned half_byte(Bytes bytes, std::uint64_t index) {
  return std::to_integer<unsigned>(bytes[index / 2]) >> (index % 2 * 4) & 15U;
}

std::string number_text(double value) {
  return fmt::format("{:.6g}", value);
}

}  // namespace

Elements::Elements(ElementType type, Bytes bytes) : type_(type), bytes_(bytes) {
  const std::optional<int> bits = format::bits_of(type);
  if (!bits) {
    throw format::FormatError(fmt::format(
        "element type {} is not known to this build: its bytes can only be copied", static_cast<int>(type)));
  }
  size_ = bytes.size() * 8 / static_cast<std::uint64_t>(*bits);
}

bool Elements::complex() const {
  return type_ == ElementType::c64 || type_ == ElementType::c128;
}

// Complex numbers count twice here.
double Elements::real(std::uint64_t i) const {
  switch (type_) {
    case ElementType::boolean:
    case ElementType::u8:
      return at<std::uint8_t>(bytes_, i);
    case ElementType::i8:
      return at<std::int8_t>(bytes_, i);
    case ElementType::u16:
      return at<std::uint16_t>(bytes_, i);
    case ElementType::i16:
      return at<std::int16_t>(bytes_, i);
    case ElementType::u32:
      return at<std::uint32_t>(bytes_, i);
    case ElementType::i32:
      return at<std::int32_t>(bytes_, i);
    case ElementType::u64:
      return static_cast<double>(at<std::uint64_t>(bytes_, i));
    case ElementType::i64:
      return static_cast<double>(at<std::int64_t>(bytes_, i));
    case ElementType::f16:
      return decode_float(at<std::uint16_t>(bytes_, i), 5, 10, 15, Special::ieee);
    case ElementType::bf16:
      return decode_float(at<std::uint16_t>(bytes_, i), 8, 7, 127, Special::ieee);
    case ElementType::f32:
    case ElementType::c64:
      return std::bit_cast<float>(at<std::uint32_t>(bytes_, i));
    case ElementType::f64:
    case ElementType::c128:
      return std::bit_cast<double>(at<std::uint64_t>(bytes_, i));
    case ElementType::f8_e4m3fn:
      return decode_float(at<std::uint8_t>(bytes_, i), 4, 3, 7, Special::fn);
    case ElementType::f8_e5m2:
      return decode_float(at<std::uint8_t>(bytes_, i), 5, 2, 15, Special::ieee);
    case ElementType::f8_e4m3fnuz:
      return decode_float(at<std::uint8_t>(bytes_, i), 4, 3, 8, Special::fnuz);
    case ElementType::f8_e5m2fnuz:
      return decode_float(at<std::uint8_t>(bytes_, i), 5, 2, 16, Special::fnuz);
    case ElementType::f8_e8m0fnu: {
      const int exponent = at<std::uint8_t>(bytes_, i);
      return exponent == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, exponent - 127);
    }
    case ElementType::i4: {
      const int code = static_cast<int>(half_byte(bytes_, i));
      return code < 8 ? code : code - 16;
    }
    case ElementType::u4:
      return half_byte(bytes_, i);
    case ElementType::f4_e2m1:
      return decode_float(half_byte(bytes_, i), 2, 1, 1, Special::finite);
  }
  return 0;
}

double Elements::value(std::uint64_t index) const {
  return real(complex() ? 2 * index : index);
}

std::string Elements::text(std::uint64_t index) const {
  if (type_ == ElementType::boolean) return value(index) != 0 ? "true" : "false";
  if (type_ == ElementType::u64) return fmt::format("{}", at<std::uint64_t>(bytes_, index));
  if (type_ == ElementType::i64) return fmt::format("{}", at<std::int64_t>(bytes_, index));
  if (type_ == ElementType::u32 || type_ == ElementType::i32) return fmt::format("{:.0f}", value(index));
  if (!complex()) return number_text(value(index));
  return fmt::format("{}{:+.6g}i", number_text(real(2 * index)), real(2 * index + 1));
}

nlohmann::ordered_json json_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

nlohmann::ordered_json Elements::json(std::uint64_t index) const {
  if (type_ == ElementType::u64) return at<std::uint64_t>(bytes_, index);
  if (type_ == ElementType::i64) return at<std::int64_t>(bytes_, index);
  if (type_ == ElementType::boolean) return value(index) != 0;
  if (complex()) return {json_number(real(2 * index)), json_number(real(2 * index + 1))};
  const double number = value(index);
  const bool whole = static_cast<int>(type_) < static_cast<int>(ElementType::f16) ||
                     type_ == ElementType::i4 || type_ == ElementType::u4;
  return whole ? nlohmann::ordered_json(static_cast<std::int64_t>(number)) : json_number(number);
}

ElementStatistics statistics(const Elements& elements) {
  ElementStatistics result;
  double sum = 0;
  for (std::uint64_t i = 0; i < elements.size(); ++i) {
    const double value = elements.value(i);
    if (std::isnan(value)) {
      ++result.nan;
    } else if (std::isinf(value)) {
      ++result.inf;
    } else {
      result.min = result.finite == 0 ? value : std::min(result.min, value);
      result.max = result.finite == 0 ? value : std::max(result.max, value);
      sum += value;
      ++result.finite;
    }
  }
  if (result.finite > 0) result.mean = sum / static_cast<double>(result.finite);
  return result;
}

namespace {

constexpr std::uint64_t kShownElements = 1000, kEdge = 3;
constexpr std::size_t kLineColumns = 100;

class ArrayText {
 public:
  ArrayText(const Elements& elements, const std::vector<std::int64_t>& shape)
      : elements_(elements), shape_(shape), shorten_(elements.size() > kShownElements) {
    visit(0, 0, [this](std::uint64_t index) { width_ = std::max(width_, elements_.text(index).size()); });
  }

  std::string text() { return axis(0, 0); }

 private:
  std::uint64_t extent(std::size_t axis) const { return static_cast<std::uint64_t>(shape_[axis]); }
  std::uint64_t stride(std::size_t axis) const {
    std::uint64_t stride = 1;
    for (std::size_t inner = axis + 1; inner < shape_.size(); ++inner)
      stride *= extent(inner);
    return stride;
  }
  bool left_out(std::size_t axis, std::uint64_t i) const {
    return shorten_ && extent(axis) > 2 * kEdge && i >= kEdge && i < extent(axis) - kEdge;
  }

  template <class Action>
  void visit(std::size_t axis, std::uint64_t offset, const Action& action) const {
    if (axis == shape_.size()) return action(offset);
    for (std::uint64_t i = 0; i < extent(axis); ++i) {
      if (left_out(axis, i)) {
        i = extent(axis) - kEdge - 1;
      } else {
        visit(axis + 1, offset + i * stride(axis), action);
      }
    }
  }

  std::string axis(std::size_t axis, std::uint64_t offset) const {
    if (axis == shape_.size()) return elements_.text(offset);
    const bool innermost = axis + 1 == shape_.size();
    const std::string indent(axis + 1, ' ');
    std::string result = "[";
    std::size_t column = indent.size();
    for (std::uint64_t i = 0; i < extent(axis); ++i) {
      const bool gap = left_out(axis, i);
      if (gap) i = extent(axis) - kEdge - 1;
      std::string item = gap         ? "…"
                         : innermost ? fmt::format("{:>{}}", elements_.text(offset + i), width_)
                                     : this->axis(axis + 1, offset + i * stride(axis));
      column += innermost ? width_ + 1 : kLineColumns;
      if (result.size() > 1) {
        result += column > kLineColumns ? "\n" + indent : " ";
        if (column > kLineColumns) column = indent.size() + width_ + 1;
      }
      result += item;
    }
    return result + "]";
  }

  const Elements& elements_;
  const std::vector<std::int64_t>& shape_;
  bool shorten_;
  std::size_t width_ = 0;
};

nlohmann::ordered_json nested(const Elements& elements, const std::vector<std::int64_t>& shape,
                              std::size_t axis, std::uint64_t& next) {
  if (axis == shape.size()) return elements.json(next++);
  nlohmann::ordered_json row = nlohmann::ordered_json::array();
  for (std::int64_t i = 0; i < shape[axis]; ++i)
    row.push_back(nested(elements, shape, axis + 1, next));
  return row;
}

}  // namespace

std::string array_text(const Elements& elements, const std::vector<std::int64_t>& shape) {
  return ArrayText(elements, shape).text();
}

nlohmann::ordered_json array_json(const Elements& elements, const std::vector<std::int64_t>& shape) {
  std::uint64_t next = 0;
  return nested(elements, shape, 0, next);
}

}  // namespace vitrail::app
