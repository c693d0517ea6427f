#include "kernels/cast.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tests/support/bf16.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

float single_of(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

// Floats around what rounding has to decide: each upper half of a coarse selection with lower halves at, just
// below and just above a tie.
std::vector<float> floats_to_round() {
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 0x10000; upper += 37) {
    for (std::uint32_t lower : {0x0000U, 0x0001U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU})
      values.push_back(single_of(upper << 16 | lower));
  }
  for (std::uint32_t bits : {0x7f7f7fffU, 0x7f7f8000U, 0x7fffffffU, 0x7f800001U, 0xff800001U, 0xffffffffU})
    values.push_back(single_of(bits));
  return values;
}

template <class To, class From>
std::vector<To> cast(Backend& backend, DType to, const std::vector<From>& values, DType from) {
  const Shape shape = {static_cast<std::int64_t>(values.size())};
  const Tensor x(backend, from, shape), y(backend, to, shape);
  backend.upload(x, values.data(), values.size() * sizeof(From));
  backend.run(Cast{.y = y, .x = x});
  CHECK(y.guards_are_whole());
  std::vector<To> result(values.size());
  backend.download(result.data(), y, result.size() * sizeof(To));
  return result;
}

void check_rounding(const std::vector<float>& values, const std::vector<std::uint16_t>& rounded) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double found = bf16_value(rounded[i]);
    const bool same = std::isnan(values[i])
                          ? std::isnan(found) && std::signbit(found) == std::signbit(values[i])
                          : bf16_bits(values[i]) == rounded[i];
    wrong += !same;
  }
  CHECK(wrong == 0);
}

TEST_CASE("cast: to bf16 rounds to nearest, ties to even, and keeps NaN") {
  const std::vector<float> values = floats_to_round();
  for (const std::string& isa : kCpuIsas) {
    CAPTURE(isa);
    Backend* backend = cpu_backend({.threads = 2, .isa = isa});
    if (!backend) continue;
    check_rounding(values, cast<std::uint16_t>(*backend, DType::bf16, values, DType::f32));
    for (std::size_t count : {1U, 15U, 31U, 33U}) {
      const std::vector<float> few(values.begin() + 700,
                                   values.begin() + 700 + static_cast<std::ptrdiff_t>(count));
      check_rounding(few, cast<std::uint16_t>(*backend, DType::bf16, few, DType::f32));
    }
  }
}

TEST_CASE("cast: to f32 is exact for every bf16") {
  std::vector<std::uint16_t> all(0x10000);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<std::uint16_t>(i);
  for (const std::string& isa : kCpuIsas) {
    Backend* backend = cpu_backend({.threads = 2, .isa = isa});
    if (!backend) continue;
    const std::vector<float> found = cast<float>(*backend, DType::f32, all, DType::bf16);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < all.size(); ++i)
      wrong += std::bit_cast<std::uint32_t>(found[i]) != static_cast<std::uint32_t>(i) << 16;
    CHECK(wrong == 0);
  }
}

}  // namespace
}  // namespace vitrail::test
