#include "engine/data/dataset.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/data/subset.h"
#include "engine/error.h"

namespace vitrail {
namespace {

// Images of one pixel each, or broken ones (none).
class Pixels : public Dataset {
 public:
  explicit Pixels(std::vector<std::vector<std::uint8_t>> pixels) : pixels_(std::move(pixels)) {}
  std::int64_t size() const override { return std::ssize(pixels_); }
  std::int64_t label(std::int64_t index) const override { return index % 2; }
  std::string name(std::int64_t index) const override { return std::to_string(index); }
  Image load(std::int64_t index, std::int64_t channels) const override {
    const auto& pixel = pixels_[static_cast<std::size_t>(index)];
    if (pixel.empty()) throw DataError("broken");
    return {.width = 1, .height = 1, .channels = channels, .pixels = pixel};
  }

 private:
  std::vector<std::vector<std::uint8_t>> pixels_;
};

TEST_CASE("mean and standard deviation by channel, without the broken images") {
  const Pixels data({{0, 10, 7}, {}, {255, 20, 7}, {255, 60, 7}});
  std::array<double, 4> mean{9, 9, 9, 9}, std{9, 9, 9, 9};
  measure_mean_std(data, 3, 100, mean, std);
  CHECK(mean[0] == doctest::Approx(2.0 / 3));
  CHECK(std[0] == doctest::Approx(std::sqrt(2.0) / 3));
  CHECK(mean[1] == doctest::Approx(30.0 / 255));
  CHECK(std[1] == doctest::Approx(std::sqrt((400.0 + 100 + 900) / 3) / 255));
  CHECK(mean[2] == doctest::Approx(7.0 / 255));
  CHECK(std[2] == 1);  // nothing to divide by
  CHECK(mean[3] == 9);
  CHECK(std[3] == 9);
}

TEST_CASE("a limit takes evenly spaced images") {
  const Pixels data({{0}, {1}, {2}, {3}, {4}, {5}});
  std::array<double, 4> mean{}, std{};
  measure_mean_std(data, 1, 3, mean, std);
  CHECK(mean[0] == doctest::Approx(2.0 / 255));  // of 0, 2 and 4
}

TEST_CASE("nothing to measure is an error") {
  std::array<double, 4> mean{}, std{};
  CHECK_THROWS_AS(measure_mean_std(Pixels({{}, {}}), 1, 10, mean, std), DataError);
  CHECK_THROWS_AS(measure_mean_std(Pixels({}), 1, 10, mean, std), DataError);
}

TEST_CASE("a subset renumbers") {
  const Subset subset(std::make_shared<Pixels>(std::vector<std::vector<std::uint8_t>>{{5}, {6}, {7}, {8}}),
                      {3, 0});
  CHECK(subset.size() == 2);
  CHECK(subset.label(0) == 1);
  CHECK(subset.name(0) == "3");
  CHECK(subset.load(1, 1).pixels[0] == 5);
  Image image;
  subset.load_into(0, 1, image);
  CHECK(image.pixels[0] == 8);
}

}  // namespace
}  // namespace vitrail
