// Values of every element type. The codes of the small floats are those of the OCP and ONNX definitions.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/app/elements.h"
#include "engine/error.h"
#include "engine/tensor_text.h"
#include "format/error.h"

using namespace vitrail;
using namespace vitrail::app;
using format::ElementType;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

template <class T>
std::vector<std::byte> bytes_of(std::initializer_list<T> values) {
  std::vector<std::byte> bytes;
  for (const T value : values)
    format::append(bytes, value);
  return bytes;
}

void check(ElementType type, const std::vector<std::byte>& bytes, const std::vector<double>& expected) {
  const Elements elements(type, bytes);
  REQUIRE(elements.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(static_cast<int>(type));
    CAPTURE(i);
    if (std::isnan(expected[i])) {
      CHECK(std::isnan(elements.value(i)));
    } else {
      CHECK(elements.value(i) == expected[i]);
      CHECK(std::signbit(elements.value(i)) == std::signbit(expected[i]));
    }
  }
}

using Codes = std::initializer_list<std::uint8_t>;

}  // namespace

TEST_CASE("elements of every type") {
  const double nan = std::nan("");
  check(ElementType::boolean, bytes_of<std::uint8_t>({0, 1}), {0, 1});
  check(ElementType::i8, bytes_of<std::uint8_t>({0x80, 0x7F}), {-128, 127});
  check(ElementType::u16, bytes_of<std::uint16_t>({65535}), {65535});
  check(ElementType::i16, bytes_of<std::uint16_t>({0x8000}), {-32768});
  check(ElementType::u32, bytes_of<std::uint32_t>({4294967295U}), {4294967295.0});
  check(ElementType::i32, bytes_of<std::uint32_t>({0x80000000U}), {-2147483648.0});
  check(ElementType::u64, bytes_of<std::uint64_t>({1, 7}), {1, 7});
  check(ElementType::i64, bytes_of<std::uint64_t>({~std::uint64_t{0}}), {-1});
  check(ElementType::f16, bytes_of<std::uint16_t>({0x3C00, 0xC000, 0x7BFF, 0x0001, 0x7C00, 0x7C01, 0x8000}),
        {1, -2, 65504, std::ldexp(1, -24), kInf, nan, -0.0});
  check(ElementType::bf16, bytes_of<std::uint16_t>({0x3F80, 0xC049, 0xFF80, 0x7FC0, 0x0001}),
        {1, -3.140625, -kInf, nan, std::ldexp(1, -133)});
  check(ElementType::f32, bytes_of<float>({0.1F, -2}), {0.1F, -2});
  check(ElementType::f64, bytes_of<double>({0.1}), {0.1});
  check(ElementType::f8_e4m3fn, bytes_of(Codes{0x38, 0x7E, 0x7F, 0x01, 0xC0}),
        {1, 448, nan, std::ldexp(1, -9), -2});
  check(ElementType::f8_e5m2, bytes_of(Codes{0x3C, 0x7B, 0x7C, 0x7D, 0x01}),
        {1, 57344, kInf, nan, std::ldexp(1, -16)});
  check(ElementType::f8_e4m3fnuz, bytes_of(Codes{0x40, 0x7F, 0x80, 0x01}), {1, 240, nan, std::ldexp(1, -10)});
  check(ElementType::f8_e5m2fnuz, bytes_of(Codes{0x40, 0x7F, 0x80, 0x01}),
        {1, 57344, nan, std::ldexp(1, -17)});
  check(ElementType::f8_e8m0fnu, bytes_of(Codes{127, 0, 255}), {1, std::ldexp(1, -127), nan});
  check(ElementType::i4, bytes_of(Codes{0x8F, 0x71}), {-1, -8, 1, 7});
  check(ElementType::u4, bytes_of(Codes{0x8F}), {15, 8});
  check(ElementType::f4_e2m1, bytes_of(Codes{0x10, 0x72, 0xFD}), {0, 0.5, 1, 6, -3, -6});
  const std::vector<std::byte> one(16);
  CHECK_THROWS_AS(Elements(ElementType{43}, one), format::FormatError);
}

TEST_CASE("complex numbers, and numbers that JSON and doubles cannot hold") {
  const auto complex = bytes_of<float>({1, -2, 3, 4});
  const Elements pair(ElementType::c64, complex);
  CHECK(pair.size() == 2);
  CHECK(pair.text(0) == "1-2i");
  CHECK(pair.json(1) == nlohmann::ordered_json::array({3, 4}));
  const auto large = bytes_of<std::uint64_t>({18446744073709551615ULL});
  CHECK(Elements(ElementType::u64, large).json(0) == 18446744073709551615ULL);
  CHECK(Elements(ElementType::u64, large).text(0) == "18446744073709551615");
  const auto odd = bytes_of<float>({std::nanf(""), -INFINITY, 0.5F});
  const Elements elements(ElementType::f32, odd);
  CHECK(array_json(elements, {3}).dump() == R"(["nan","-inf",0.5])");
  const ElementStatistics stats = statistics(elements);
  CHECK(stats.finite == 1);
  CHECK(stats.nan == 1);
  CHECK(stats.inf == 1);
  CHECK(stats.min == 0.5);
  CHECK(stats.mean == 0.5);
}

TEST_CASE("arrays in brackets") {
  const auto six = bytes_of<float>({1, 2, 3, 4, 5, 16});
  const Elements elements(ElementType::f32, six);
  CHECK(array_text(elements, {6}) == "[ 1  2  3  4  5 16]");
  CHECK(array_text(elements, {2, 3}) == "[[ 1  2  3]\n [ 4  5 16]]");
  CHECK(array_json(elements, {3, 1, 2}).dump() == "[[[1.0,2.0]],[[3.0,4.0]],[[5.0,16.0]]]");
  const auto one = bytes_of<float>({7});
  CHECK(array_text(Elements(ElementType::f32, one), {}) == "7");
  CHECK(array_text(Elements(ElementType::f32, {}), {0, 3}) == "[]");
  std::vector<std::byte> many;
  for (std::uint16_t i = 0; i < 2000; ++i)
    format::append(many, i);
  CHECK(array_text(Elements(ElementType::u16, many), {2000}) == "[   0    1    2 … 1997 1998 1999]");
  CHECK(array_text(Elements(ElementType::u16, many), {1000, 2}).starts_with("[[   0    1]\n [   2    3]\n"));
}

TEST_CASE("roles and types by name") {
  CHECK(role_text(format::Role::first_moment) == "first_moment");
  CHECK(role_text(format::Role{77}) == "role 77");
  CHECK(parse_role("ema_parameter") == format::Role::ema_parameter);
  CHECK(parse_role("77") == format::Role{77});
  CHECK_THROWS_WITH_AS(parse_role("first_momnt"), doctest::Contains("did you mean 'first_moment'?"),
                       ConfigError);
  CHECK_THROWS_AS(parse_role("70000"), ConfigError);
  CHECK(dtype_text(ElementType::bf16) == "bf16");
  CHECK(dtype_text(ElementType{43}) == "type 43");
  CHECK(shape_text({3, 4}) == "[3, 4]");
  CHECK(shape_text({}) == "[]");
}
