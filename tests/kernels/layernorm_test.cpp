#include "kernels/layernorm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

constexpr double kEps = 1e-6;

Scenario layernorm(std::int64_t samples, std::int64_t tokens, std::int64_t dim) {
  return [=](OpRun& run) {
    const Shape shape = {samples, tokens, dim}, rows = {samples, tokens}, cols = {dim};
    const In x = run.wide_input("x", shape), weight = run.wide_input("weight", cols);
    const In bias = run.wide_input("bias", cols);
    const Out mean = run.wide_output("mean", rows), rstd = run.wide_output("rstd", rows);
    run.backend().run(LayerNormForward{.y = run.output("y", shape),
                                       .mean = mean,
                                       .rstd = rstd,
                                       .x = x,
                                       .weight = weight,
                                       .bias = bias,
                                       .eps = kEps});
    run.backend().run(LayerNormBackward{.dx_acc = run.accumulator("dx", shape),
                                        .dweight_acc = run.accumulator("dweight", cols),
                                        .dbias_acc = run.accumulator("dbias", cols),
                                        .dy = run.cotangent("y", shape),
                                        .x = x,
                                        .weight = weight,
                                        .mean = mean,
                                        .rstd = rstd});
  };
}

TEST_CASE("layernorm: the backward is the forward's gradient") {
  // Not 2: there x̂ is ±1 but for eps, a step that differences cannot resolve.
  for (std::int64_t dim : {1, 3, 15, 16, 33, 100}) {
    CAPTURE(dim);
    check_gradients(layernorm(2, 3, dim), {"x", "weight", "bias"});
  }
  check_gradients(layernorm(1, 197, 8), {"x", "weight", "bias"});
}

TEST_CASE("layernorm: f32, threads and instruction sets") {
  for (std::int64_t tokens : {1, 31, 33, 197})
    check_backends(layernorm(3, tokens, 192));
  check_backends(layernorm(2, 5, 37));
  check_backends(layernorm(1, 3, 16400));  // a row longer than a task
  check_backends(layernorm(2, 700, 400));  // results past the CPU's caches
}

TEST_CASE("layernorm: bf16 beside f32") {
  for (std::int64_t dim : {31, 33, 192, 257})
    check_bf16(layernorm(3, 33, dim));
  check_bf16(layernorm(1, 197, 64));
  check_cpu_bf16(layernorm(3, 700, 512));  // results past the CPU's caches
}

TEST_CASE("layernorm: the formula, written out") {
  constexpr std::size_t kRows = 6, kDim = 21;
  const auto column = [](const Values& v, const char* name, std::size_t i) { return v.at(name)[i]; };
  Values given;
  for (std::size_t i = 0; i < kRows * kDim; ++i)
    given["x"].push_back(std::sin(static_cast<double>(i)) + 3);
  for (std::size_t i = 0; i < kDim; ++i) {
    given["weight"].push_back(0.5 + 0.1 * static_cast<double>(i));
    given["bias"].push_back(1 - 0.2 * static_cast<double>(i));
  }
  const Values results = reference_results(layernorm(2, 3, kDim), given);
  for (std::size_t row = 0; row < kRows; ++row) {
    double mean = 0, variance = 0;
    for (std::size_t i = 0; i < kDim; ++i)
      mean += column(given, "x", row * kDim + i) / kDim;
    for (std::size_t i = 0; i < kDim; ++i) {
      variance += std::pow(column(given, "x", row * kDim + i) - mean, 2) / kDim;
    }
    CHECK(column(results, "mean", row) == doctest::Approx(mean).epsilon(1e-13));
    CHECK(column(results, "rstd", row) == doctest::Approx(1 / std::sqrt(variance + kEps)).epsilon(1e-13));
    for (std::size_t i = 0; i < kDim; ++i) {
      const double xhat = (column(given, "x", row * kDim + i) - mean) / std::sqrt(variance + kEps);
      const double y = xhat * column(given, "weight", i) + column(given, "bias", i);
      CHECK(column(results, "y", row * kDim + i) == doctest::Approx(y).epsilon(1e-12));
    }
  }
}

TEST_CASE("layernorm: a large mean does not cancel the variance in f32") {
  Values given;
  for (int i = 0; i < 192; ++i)
    given["x"].push_back(1000 + 0.25 * (i % 7));
  double mean = 0, variance = 0;
  for (double x : given["x"])
    mean += x / 192;
  for (double x : given["x"])
    variance += (x - mean) * (x - mean) / 192;
  OpRun run(*cpu_backend(), DType::f32, given);
  layernorm(1, 1, 192)(run);
  CHECK(run.results().at("rstd")[0] == doctest::Approx(1 / std::sqrt(variance + kEps)).epsilon(1e-4));
}

}  // namespace
}  // namespace vitrail::test
