#pragma once
// Central differences: what every backward written by hand is measured against.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/random.h"

namespace vitrail::test {

// One group of parameters of a scalar function, with the gradient that is to be tested.
struct Probed {
  std::string name;
  std::vector<double>* values;
  std::vector<double> gradient;
};

// [−1, 1), exact in float; a function of (stream, index) alone.
inline double random_value(std::uint64_t stream, std::uint32_t index) {
  return 2 * uniform(random4({.seed = stream}, 0, index / 4)[index % 4]) - 1;
}

inline std::vector<double> random_values(std::uint64_t stream, std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = random_value(stream, static_cast<std::uint32_t>(i));
  return values;
}

// d/dt f(values + t·direction) at t = 0, to fourth order:
// (8·(f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h
inline double central_difference(const std::function<double()>& f, std::vector<double>& values,
                                 const std::vector<double>& direction) {
  constexpr double kStep = 1e-3;
  const std::vector<double> saved = values;
  const auto at = [&](double t) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = saved[i] + t * direction[i];
    return f();
  };
  const double inner = at(kStep) - at(-kStep), outer = at(2 * kStep) - at(-2 * kStep);
  values = saved;
  return (8 * inner - outer) / (12 * kStep);
}

inline double root_mean_square(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values)
    sum += value * value;
  return std::sqrt(sum / static_cast<double>(std::max<std::size_t>(values.size(), 1)));
}

// Relative error of one slope. Single elements may be zero by chance, so the measure is at least the
// gradient's root mean square; and a gradient that is zero throughout must be met to 1e-7 · 1e-3.
inline double slope_error(const Probed& probed, const std::function<double()>& f,
                          const std::vector<double>& direction) {
  double analytic = 0;
  for (std::size_t i = 0; i < direction.size(); ++i)
    analytic += probed.gradient[i] * direction[i];
  const double numeric = central_difference(f, *probed.values, direction);
  const double measure =
      std::max({std::abs(analytic), std::abs(numeric), root_mean_square(probed.gradient), 1e-3});
  return std::abs(analytic - numeric) / measure;
}

// Checks the gradient of f (f64) along random directions and along single elements, to 1e-7.
inline void check_gradient(const std::function<double()>& f, const Probed& probed, int probes = 4) {
  constexpr double kTolerance = 1e-7;
  const std::size_t n = probed.values->size();
  REQUIRE(probed.gradient.size() == n);
  for (int probe = 0; probe < probes; ++probe) {
    CAPTURE(probed.name);
    CAPTURE(probe);
    const auto stream = static_cast<std::uint64_t>(7919 + probe);
    CHECK(slope_error(probed, f, random_values(stream, n)) <= kTolerance);
    std::vector<double> element(n, 0.0);
    const std::size_t index = random4({.seed = stream}, 1, 0)[0] % n;
    CAPTURE(index);
    element[index] = 1;
    CHECK(slope_error(probed, f, element) <= kTolerance);
  }
}

}  // namespace vitrail::test
