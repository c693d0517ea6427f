#include "tests/cuda_faults/broken.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "tests/cuda_emulation/fault.h"
#include "tests/cuda_emulation/grid.h"

namespace vitrail::cuda {
namespace {

bool close(const Numbers& a, const Numbers& b) {
  constexpr float kTolerance = 1e-5f;
  float largest = 0;
  for (float value : b)
    largest = std::fmax(largest, std::fabs(value));
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::fabs(a[i] - b[i]) <= kTolerance * largest)) return false;  // so a NaN is not close
  }
  return true;
}

bool same_bits(const Numbers& a, const Numbers& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

std::string what_shows(const std::function<Numbers()>& run, const Numbers& expected,
                       const std::vector<std::uint64_t>& seeds) {
  Numbers first;
  for (std::uint64_t seed : seeds) {
    cuda_emulation::set_seed(seed);
    try {
      const Numbers result = run();
      if (!close(result, expected)) return kWrongNumbers;
      if (seed == seeds.front()) first = result;
      if (!same_bits(result, first)) return kOrderShows;
    } catch (const cuda_emulation::Fault& fault) {
      return fault.what();
    }
  }
  return kNothing;
}

void check_all(const std::vector<Broken>& table) {
  for (const Broken& row : table) {
    CAPTURE(row.fault);
    const std::string shown = what_shows(row.broken, row.expected, {1, 2});
    CAPTURE(shown);
    for (const std::string& part : row.report) {
      CAPTURE(part);
      CHECK(shown.find(part) != std::string::npos);
    }
    CHECK(what_shows(row.whole, row.expected, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) == kNothing);
  }
  cuda_emulation::set_seed(0);
}

Numbers some_numbers(std::size_t count, int salt) {
  Numbers values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = std::sin(static_cast<float>(i) * 1.7f + static_cast<float>(salt) * 0.9f);
  return values;
}

}  // namespace vitrail::cuda
