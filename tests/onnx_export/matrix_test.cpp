#include "onnx_export/matrix.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "onnx_export/half.h"
#include "onnx_export/interpreter_tensor.h"

namespace vitrail::onnx_export {
namespace {

constexpr std::int64_t kOuts = 37, kIns = 53;  // no multiples of a tile

std::vector<float> weight() {
  std::vector<float> elements(kOuts * kIns);
  for (std::size_t i = 0; i < elements.size(); ++i)
    elements[i] = std::sin(static_cast<float>(i) * 0.7f) * static_cast<float>(1 + i / kIns);
  return elements;
}

Matrix matrix_of(const std::vector<float>& elements, std::vector<float> factors = {}) {
  Matrix matrix{{{kOuts, kIns}, false, std::as_bytes(std::span(elements)), nullptr}, nullptr};
  if (!factors.empty()) matrix.factors = std::make_shared<const std::vector<float>>(std::move(factors));
  return matrix;
}

template <class T>
std::vector<T> collect(const Producer& produce) {
  std::vector<std::byte> bytes;
  produce([&](Bytes piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
  std::vector<T> elements(bytes.size() / sizeof(T));
  std::memcpy(elements.data(), bytes.data(), bytes.size());
  return elements;
}

TEST_CASE("a matrix is transposed, scaled by output, in any type") {
  const std::vector<float> w = weight();
  std::vector<float> factors(kOuts);
  for (std::size_t o = 0; o < factors.size(); ++o)
    factors[o] = 1.0f / static_cast<float>(o + 1);
  const Matrix plain = matrix_of(w), scaled = matrix_of(w, factors);
  const auto f32 = collect<float>(transposed_f32(plain));
  const auto folded = collect<float>(transposed_f32(scaled));
  const auto f16 = collect<std::uint16_t>(transposed_f16(plain));
  REQUIRE(f32.size() == w.size());
  REQUIRE(f16.size() == w.size());
  for (std::size_t o = 0; o < kOuts; ++o) {
    for (std::size_t i = 0; i < kIns; ++i) {
      CHECK(f32[i * kOuts + o] == w[o * kIns + i]);
      CHECK(folded[i * kOuts + o] == w[o * kIns + i] * factors[o]);
      CHECK(f16[i * kOuts + o] == reference::float_to_f16(w[o * kIns + i]));
    }
  }
}

TEST_CASE("int8 covers each output's own range in as many steps as are allowed") {
  std::vector<float> w = weight();
  std::fill_n(w.begin() + 3 * kIns, kIns, 0.0f);  // a row of zeros
  const Matrix matrix = matrix_of(w);
  for (const int limit : {64, 127}) {
    const std::vector<float> scales = int8_scales(matrix, static_cast<float>(limit));
    const auto i8 = collect<std::int8_t>(transposed_i8(matrix, scales));
    for (std::size_t o = 0; o < kOuts; ++o) {
      int largest = 0;
      for (std::size_t i = 0; i < kIns; ++i) {
        const int step = i8[i * kOuts + o];
        largest = std::max(largest, std::abs(step));
        CHECK(std::abs(static_cast<float>(step) * scales[o] - w[o * kIns + i]) <= 0.501f * scales[o]);
      }
      CHECK(largest == (o == 3 ? 0 : limit));
    }
    CHECK(scales[3] == 1);
  }
}

TEST_CASE("f64 is rounded to f32") {
  const std::vector<double> wide = {1.0 / 3, -2.0 / 3, 1e-50, 4};
  const Parameters::Tensor tensor{{2, 2}, true, std::as_bytes(std::span(wide)), nullptr};
  CHECK(tensor.floats() == std::vector<float>(wide.begin(), wide.end()));
}

TEST_CASE("half precision rounds to nearest, ties to even, and knows its limits") {
  CHECK(to_half(1.0f) == 0x3c00);
  CHECK(to_half(-2.0f) == 0xc000);
  CHECK(to_half(kLargestHalf) == 0x7bff);
  CHECK(to_half(65520.0f) == 0x7c00);
  CHECK(to_half(std::numeric_limits<float>::infinity()) == 0x7c00);
  CHECK((to_half(std::numeric_limits<float>::quiet_NaN()) & 0x7fff) > 0x7c00);
  CHECK(to_half(1.0f + 0x1p-11f) == 0x3c00);      // a tie
  CHECK(to_half(1.0f + 3 * 0x1p-11f) == 0x3c02);  // a tie to the even one above
  CHECK(to_half(0x1p-24f) == 1);                  // the smallest
  CHECK(to_half(0x1p-25f) == 0);
  CHECK(to_half(-0.0f) == 0x8000);
}

}  // namespace
}  // namespace vitrail::onnx_export
