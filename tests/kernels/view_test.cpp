#include "kernels/view.h"

#include <doctest/doctest.h>

#include <type_traits>

namespace vitrail::test {
namespace {

static_assert(std::is_trivially_copyable_v<In> && std::is_trivially_copyable_v<Out>);

TEST_CASE("view: dtypes and shapes") {
  CHECK(size_of(DType::f32) == 4);
  CHECK(size_of(DType::f64) == 8);
  CHECK(size_of(DType::bf16) == 2);
  CHECK(std::string(name_of(DType::bf16)) == "bf16");
  CHECK(to_string(Shape{2, 197, 192}) == "(2, 197, 192)");
  CHECK(to_string(Shape{}) == "()");
  CHECK(Shape{2, 3, 4}.elements() == 24);
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
}

TEST_CASE("view: rows and other shapes of the same elements") {
  float data[24];
  const Out all = {data, DType::f32, {4, 3, 2}};
  const Out middle = rows(all, 1, 2);
  CHECK(middle.as<float>() == data + 6);
  CHECK(middle.shape == Shape{2, 3, 2});
  CHECK(rows(In(all), 3, 1).as<float>() == data + 18);
  CHECK(rows(all, 4, 0).shape == Shape{0, 3, 2});
  const In flat = reshaped(In(all), {24});
  CHECK(flat.as<float>() == data);
  CHECK(flat.shape == Shape{24});
  CHECK_FALSE(rows(In{nullptr, DType::f32, {4, 3}}, 2, 1));
}

}  // namespace
}  // namespace vitrail::test
