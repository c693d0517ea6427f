#include "engine/data/random_order.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>

namespace vitrail {
namespace {

bool is_permutation(std::vector<std::int64_t> order) {
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < std::ssize(order); ++i)
    if (order[static_cast<std::size_t>(i)] != i) return false;
  return true;
}

TEST_CASE("an order is a permutation, of any size") {
  for (const std::int64_t size : {0, 1, 2, 3, 100, 4097}) {
    const std::vector<std::int64_t> order = random_order({.seed = 1, .purpose = Purpose::shuffle}, size);
    CHECK(std::ssize(order) == size);
    CHECK(is_permutation(order));
  }
}

TEST_CASE("each part of the key matters") {
  const RandomKey key{.seed = 1, .purpose = Purpose::shuffle, .step = 2};
  const std::vector<std::int64_t> order = random_order(key, 100);
  CHECK(random_order(key, 100) == order);
  CHECK(random_order({.seed = 2, .purpose = Purpose::shuffle, .step = 2}, 100) != order);
  CHECK(random_order({.seed = 1, .purpose = Purpose::split, .step = 2}, 100) != order);
  CHECK(random_order({.seed = 1, .purpose = Purpose::shuffle, .step = 3}, 100) != order);
}

TEST_CASE("all 24 orders of four are equally likely") {
  std::map<std::vector<std::int64_t>, int> counts;
  for (std::uint32_t epoch = 0; epoch < 24000; ++epoch)
    ++counts[random_order({.seed = 7, .purpose = Purpose::shuffle, .step = epoch}, 4)];
  CHECK(counts.size() == 24);
  double chi_squared = 0;
  for (const auto& [order, count] : counts)
    chi_squared += (count - 1000.0) * (count - 1000.0) / 1000;
  CHECK(chi_squared < 52.6);  // 23 degrees of freedom: 99.96 %
}

}  // namespace
}  // namespace vitrail
