#include "kernels/dropout.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

Dropout dropout(double rate, std::uint32_t first_sample = 3) {
  const RandomKey key = {.seed = 0x123456789abcdef, .purpose = Purpose::pos_drop, .layer = 2, .step = 77};
  return {.rate = rate, .key = key, .first_sample = first_sample};
}

// Dropout forward, and the same on the cotangent as its backward.
Scenario drop(const Shape& shape, const Dropout& how) {
  return [=](OpRun& run) {
    run.backend().run(ApplyDropout{.y = run.output("y", shape), .x = run.input("x", shape), .dropout = how});
    run.backend().run(
        ApplyDropout{.y = run.output("dx", shape), .x = run.cotangent("y", shape), .dropout = how});
  };
}

std::vector<double> mask_of(const Shape& shape, const Dropout& how) {
  const std::vector<double> ones(static_cast<std::size_t>(shape.elements()), 1);
  return reference_results(drop(shape, how), {{"x", ones}}).at("y");
}

TEST_CASE("dropout: gradients, threads and instruction sets") {
  check_gradients(drop({3, 5, 7}, dropout(0.4)), {"x"});
  check_backends(drop({3, 197, 192}, dropout(0.1)));
  check_backends(drop({5, 33}, dropout(0.9)));
  check_backends(drop({1, 1}, dropout(0)));
  check_bf16(drop({3, 197, 33}, dropout(0.1)));
}

TEST_CASE("dropout: the mask is the documented function of key, sample and element") {
  for (std::int64_t size : {1, 3, 64, 65, 1023, 20001}) {
    const Dropout how = dropout(0.3);
    const std::vector<double> mask = mask_of({4, size}, how);
    bool same = true;
    for (std::uint32_t i = 0; i < mask.size(); ++i) {
      const auto n = static_cast<std::uint32_t>(size);
      const std::uint32_t sample = i / n, element = i % n;
      const std::uint32_t bits = random4(how.key, how.first_sample + sample, element / 4)[element % 4];
      same = same && mask[i] == (uniform(bits) < how.rate ? 0 : 1 / (1 - how.rate));
    }
    CAPTURE(size);
    CHECK(same);
  }
}

TEST_CASE("dropout: zeros come as often as the rate says") {
  constexpr std::int64_t kElements = 200000;
  for (double rate : {0.0, 0.01, 0.1, 0.5, 0.9}) {
    std::int64_t zeros = 0;
    for (double m : mask_of({2, kElements / 2}, dropout(rate)))
      zeros += m == 0;
    const double deviation = std::sqrt(kElements * rate * (1 - rate));
    CAPTURE(rate);
    CHECK(std::abs(static_cast<double>(zeros) - kElements * rate) <= 4 * deviation);
  }
}

TEST_CASE("dropout: a step cut into micro-batches has the masks of the whole step") {
  const std::vector<double> whole = mask_of({4, 100}, dropout(0.5, 0));
  std::vector<double> parts = mask_of({2, 100}, dropout(0.5, 0));
  const std::vector<double> second = mask_of({2, 100}, dropout(0.5, 2));
  parts.insert(parts.end(), second.begin(), second.end());
  CHECK(parts == whole);
}

TEST_CASE("dropout: in place") {
  OpRun run(*cpu_backend(), DType::f32, {});
  const Tensor& x = run.input("x", {3, 50});
  const std::vector<double> before = x.get(), mask = mask_of({3, 50}, dropout(0.5));
  run.backend().run(ApplyDropout{.y = x, .x = x, .dropout = dropout(0.5)});
  for (std::size_t i = 0; i < before.size(); ++i)
    CHECK(x.get()[i] == before[i] * mask[i]);
}

}  // namespace
}  // namespace vitrail::test
