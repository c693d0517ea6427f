#include "kernels/combine.h"

#include <doctest/doctest.h>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

Scenario combine(const Shape& shape, bool two) {
  return [=](OpRun& run) {
    run.backend().run(Combine{.y = run.output("y", shape),
                              .a = run.input("a", shape),
                              .b = two ? run.input("b", shape).in() : In{},
                              .alpha = 0.75,
                              .beta = -2});
  };
}

TEST_CASE("combine: f32, threads and instruction sets") {
  check_backends(combine({3, 33, 197}, true));
  check_backends(combine({40000}, false));
}

TEST_CASE("combine: the formula, and in place") {
  const Values given = {{"a", {4, 8, -2}}, {"b", {1, 2, 3}}};
  CHECK(reference_results(combine({3}, true), given).at("y") == std::vector<double>{1, 2, -7.5});
  CHECK(reference_results(combine({3}, false), given).at("y") == std::vector<double>{3, 6, -1.5});
  OpRun run(*cpu_backend(), DType::f32, given);
  const Tensor& a = run.input("a", {3});
  run.backend().run(Combine{.y = a, .a = a, .b = run.input("b", {3}), .alpha = 1, .beta = 1});
  CHECK(a.get() == std::vector<double>{5, 10, 1});
}

}  // namespace
}  // namespace vitrail::test
