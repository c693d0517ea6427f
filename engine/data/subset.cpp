#include "engine/data/subset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/data/random_order.h"
#include "engine/error.h"

namespace vitrail {
namespace {

std::int64_t count_for_val(std::int64_t images, double fraction) {
  const auto count = static_cast<std::int64_t>(std::llround(fraction * static_cast<double>(images)));
  return images < 2 ? 0 : std::clamp<std::int64_t>(count, 1, images - 1);
}

std::vector<std::vector<std::int64_t>> indices_by_class(const Dataset& whole, std::int64_t classes) {
  std::vector<std::vector<std::int64_t>> by_class(static_cast<std::size_t>(classes));
  for (std::int64_t i = 0; i < whole.size(); ++i)
    by_class[static_cast<std::size_t>(whole.label(i))].push_back(i);
  return by_class;
}

}  // namespace

TrainAndVal split_by_class(std::shared_ptr<const Dataset> whole, std::int64_t classes,
                           const DataOptions& options) {
  if (!(options.val_fraction > 0 && options.val_fraction < 1))
    throw ConfigError(fmt::format(
        "the share of images for validation is {}, expected a number between 0 and 1", options.val_fraction));
  std::vector<std::int64_t> train, val;
  const auto by_class = indices_by_class(*whole, classes);
  for (std::size_t c = 0; c < by_class.size(); ++c) {
    const std::vector<std::int64_t>& members = by_class[c];
    const RandomKey key{
        .seed = options.seed, .purpose = Purpose::split, .step = static_cast<std::uint32_t>(c)};
    const std::vector<std::int64_t> order = random_order(key, std::ssize(members));
    const std::int64_t for_val = count_for_val(std::ssize(members), options.val_fraction);
    for (std::int64_t i = 0; i < std::ssize(members); ++i)
      (i < for_val ? val : train).push_back(members[static_cast<std::size_t>(order[i])]);
  }
  if (val.empty())
    throw DataError(
        "no class has two images, so that none can be set aside for validation: add images, or val/");
  std::sort(train.begin(), train.end());
  std::sort(val.begin(), val.end());
  return {.train = std::make_shared<Subset>(whole, std::move(train)),
          .val = std::make_shared<Subset>(whole, std::move(val))};
}

}  // namespace vitrail
