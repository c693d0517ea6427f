#include "kernels/loss.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/gradient.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

constexpr double kScale = 0.125;

Scenario cross_entropy(std::int64_t rows, std::int64_t classes, double smoothing) {
  return [=](OpRun& run) {
    const Shape shape = {rows, classes};
    run.cotangent("losses", {rows}, std::vector<double>(static_cast<std::size_t>(rows), kScale));
    run.backend().run(CrossEntropy{.losses = run.output("losses", {rows}),
                                   .dlogits = run.output("dlogits", shape),
                                   .logits = run.input("logits", shape),
                                   .targets = run.input("targets", shape),
                                   .label_smoothing = smoothing,
                                   .scale = kScale});
  };
}

// Probabilities in each row.
Values soft_targets(std::int64_t rows, std::int64_t classes) {
  Values given = {{"targets", random_values(5, static_cast<std::size_t>(rows * classes))}};
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    double sum = 0;
    double* t = given["targets"].data() + row * static_cast<std::size_t>(classes);
    for (std::int64_t i = 0; i < classes; ++i)
      sum += std::abs(t[i]);
    for (std::int64_t i = 0; i < classes; ++i)
      t[i] = std::abs(t[i]) / sum;
  }
  return given;
}

TEST_CASE("cross_entropy: dlogits is the gradient of the scaled sum of losses") {
  for (double smoothing : {0.0, 0.1}) {
    check_gradients(cross_entropy(4, 7, smoothing), {"logits"}, soft_targets(4, 7));
    check_gradients(cross_entropy(3, 1, smoothing), {"logits"}, soft_targets(3, 1));
    check_gradients(cross_entropy(3, 5, smoothing), {"logits"});  // targets that do not sum to 1
  }
}

TEST_CASE("cross_entropy: f32, threads and instruction sets") {
  check_backends(cross_entropy(33, 1000, 0.1), soft_targets(33, 1000));
  check_backends(cross_entropy(5, 10, 0), soft_targets(5, 10));
}

TEST_CASE("cross_entropy: the definition, written out") {
  constexpr std::size_t kRows = 5, kClasses = 9;
  for (double smoothing : {0.0, 0.3}) {
    Values given = soft_targets(kRows, kClasses);
    given["logits"] = random_values(6, kRows * kClasses);
    const Values results = reference_results(cross_entropy(kRows, kClasses, smoothing), given);
    for (std::size_t row = 0; row < kRows; ++row) {
      double sum = 0, loss = 0;
      for (std::size_t i = 0; i < kClasses; ++i)
        sum += std::exp(given["logits"][row * kClasses + i]);
      for (std::size_t i = 0; i < kClasses; ++i) {
        const double t = (1 - smoothing) * given["targets"][row * kClasses + i] + smoothing / kClasses;
        loss -= t * (given["logits"][row * kClasses + i] - std::log(sum));
      }
      CHECK(results.at("losses")[row] == doctest::Approx(loss).epsilon(1e-13));
    }
  }
}

TEST_CASE("cross_entropy: extreme logits stay finite, and evaluation needs no gradient") {
  const Values given = {{"logits", {1000, -1000, 0, -1e30}}, {"targets", {1, 0, 0, 0}}};
  for (DType dtype : {DType::f32, DType::f64}) {
    OpRun run(*cpu_backend(), dtype, given);
    run.backend().run(CrossEntropy{.losses = run.output("losses", {1}),
                                   .dlogits = {},
                                   .logits = run.input("logits", {1, 4}),
                                   .targets = run.input("targets", {1, 4})});
    CHECK(run.results().at("losses")[0] == 0);
  }
}

}  // namespace
}  // namespace vitrail::test
