#include "engine/data/random_order.h"

#include <cassert>
#include <numeric>
#include <utility>

namespace vitrail {
namespace {

// Uniform in [0, count): of the 2^32 products bits·count, those whose low half is below 2^32 mod count are
// too many.
std::uint32_t draw_below(const RandomKey& key, std::uint32_t sample, std::uint32_t count) {
  const std::uint32_t excess = (0u - count) % count;
  for (std::uint32_t block = 0;; ++block) {
    for (const std::uint32_t bits : random4(key, sample, block)) {
      const std::uint64_t product = std::uint64_t{bits} * count;
      if (static_cast<std::uint32_t>(product) >= excess) return static_cast<std::uint32_t>(product >> 32);
    }
  }
}

}  // namespace

std::vector<std::int64_t> random_order(const RandomKey& key, std::int64_t size) {
  assert(size >= 0 && size < std::int64_t{1} << 32);
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = size - 1; i > 0; --i) {
    const auto position = static_cast<std::uint32_t>(i);
    std::swap(order[i], order[draw_below(key, position, position + 1)]);
  }
  return order;
}

}  // namespace vitrail
