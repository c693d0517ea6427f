#include "engine/data/transform.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tests/support/data_files.h"

namespace vitrail {
namespace {

using test::Bytes;

// Samples as floats: what normalisation with mean 0 and standard deviation 1/255 leaves.
InputConfig plain_input(std::int64_t size, std::int64_t channels) {
  InputConfig input{.size = size, .channels = channels, .crop_pct = 1};
  input.mean.fill(0);
  input.std.fill(1.0 / 255);
  return input;
}

// floats (channels, size, size) -> samples (size, size, channels)
Bytes to_samples(const std::vector<float>& floats, std::int64_t channels) {
  const std::size_t count = static_cast<std::size_t>(channels), area = floats.size() / count;
  Bytes samples(floats.size());
  for (std::size_t i = 0; i < floats.size(); ++i)
    samples[i % area * count + i / area] = static_cast<std::uint8_t>(std::lround(floats[i]));
  return samples;
}

std::vector<float> eval(const Image& image, const InputConfig& input) {
  std::vector<float> out(static_cast<std::size_t>(input.channels * input.size * input.size), 1e9f);
  transform_eval(image, input, out);
  return out;
}

std::vector<float> train(const Image& image, const InputConfig& input, const AugmentConfig& augment,
                         std::uint32_t index, std::uint32_t epoch = 0, std::uint64_t seed = 1) {
  std::vector<float> out(static_cast<std::size_t>(input.channels * input.size * input.size), 1e9f);
  transform_train(image, input, augment, {.seed = seed, .purpose = Purpose::augment, .step = epoch}, index,
                  out);
  return out;
}

const AugmentConfig kNothing{.flip = 0};

TEST_CASE("evaluation resizes and cuts as Pillow and torchvision do") {
  int cases = 0;
  for (test::Records records("eval.bin"); !records.done(); ++cases) {
    const std::int64_t width = records.number(), height = records.number(), channels = records.number();
    const auto seed = static_cast<std::uint32_t>(records.number());
    InputConfig input = plain_input(records.number(), channels);
    input.crop_pct = static_cast<double>(records.number()) / 1000;
    input.interpolation = static_cast<Interpolation>(records.number());
    CAPTURE(cases);
    const Image image = test::noise(width, height, channels, seed);
    CHECK(to_samples(eval(image, input), channels) == records.take(input.size * input.size * channels));
  }
  CHECK(cases == 11);
}

TEST_CASE("normalisation is (sample/255 - mean)/std by channel") {
  const Image image = test::noise(5, 5, 3, 1);
  const InputConfig input{.size = 5, .crop_pct = 1, .mean = {0.1, 0.2, 0.3, 0}, .std = {0.5, 0.6, 0.7, 0}};
  const std::vector<float> out = eval(image, input);
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t i = 0; i < 25; ++i)
      CHECK(out[c * 25 + i] ==
            doctest::Approx((image.pixels[i * 3 + c] / 255.0 - input.mean[c]) / input.std[c]).epsilon(1e-6));
}

TEST_CASE("training without augmentation is evaluation") {
  const Image image = test::noise(40, 31, 3, 2);
  const InputConfig input{.size = 16};
  CHECK(train(image, input, kNothing, 3) == eval(image, input));
}

TEST_CASE("draws depend on seed, epoch and index, and on nothing else") {
  const Image image = test::noise(40, 31, 3, 2);
  const InputConfig input{.size = 16};
  const AugmentConfig augment{.crop_min = 0.3, .shift = 3, .erase = 0.5};
  const std::vector<float> first = train(image, input, augment, 3, 4, 5);
  CHECK(train(image, input, augment, 4, 4, 5) != first);
  CHECK(train(image, input, augment, 3, 5, 5) != first);
  CHECK(train(image, input, augment, 3, 4, 6) != first);
  CHECK(train(image, input, augment, 3, 4, 5) == first);
}

TEST_CASE("about as many images as asked for are mirrored, exactly") {
  const Image image = test::noise(6, 6, 1, 3);
  const InputConfig input = plain_input(6, 1);
  const Bytes upright = image.pixels;
  Bytes mirrored = upright;
  for (auto row = mirrored.begin(); row != mirrored.end(); row += 6)
    std::reverse(row, row + 6);
  int flips = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const Bytes samples = to_samples(train(image, input, {.flip = 0.3}, i), 1);
    const bool flipped = samples == mirrored;
    CHECK((flipped || samples == upright));
    flips += flipped ? 1 : 0;
  }
  CHECK(flips > 240);  // four standard deviations about 300
  CHECK(flips < 360);
}

// image (size, size) moved, by hand
Bytes moved(const Image& image, std::int64_t down, std::int64_t right) {
  Bytes samples(image.pixels.size(), 0);
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < image.width; ++x) {
      const std::int64_t from_y = y - down, from_x = x - right;
      if (from_y < 0 || from_y >= image.height || from_x < 0 || from_x >= image.width) continue;
      samples[static_cast<std::size_t>(y * image.width + x)] =
          image.pixels[static_cast<std::size_t>(from_y * image.width + from_x)];
    }
  return samples;
}

TEST_CASE("shifts reach every position in both directions, and fill with black") {
  const Image image = test::noise(4, 4, 1, 4);
  std::map<Bytes, int> found;
  for (std::uint32_t i = 0; i < 5000; ++i)
    ++found[to_samples(train(image, plain_input(4, 1), {.shift = 2, .flip = 0}, i), 1)];
  CHECK(found.size() == 25);
  for (std::int64_t down = -2; down <= 2; ++down)
    for (std::int64_t right = -2; right <= 2; ++right) {
      CHECK(found[moved(image, down, right)] > 140);  // four standard deviations about 200
      CHECK(found[moved(image, down, right)] < 260);
    }
}

TEST_CASE("shifts beyond the image leave black only, and black is normalised too") {
  const Image image = test::noise(3, 3, 1, 4);
  const InputConfig input{.size = 3, .channels = 1, .crop_pct = 1, .mean = {0.5}, .std = {0.25}};
  int black = 0;
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::vector<float> out = train(image, input, {.shift = 9}, i);
    black += std::all_of(out.begin(), out.end(), [](float x) { return x == -2; }) ? 1 : 0;
  }
  CHECK(black > 100);
  CHECK(black < 200);
}

TEST_CASE("the mirror image of a padded image is padded on the other side") {
  const Image image{.width = 2, .height = 1, .channels = 1, .pixels = {10, 20}};
  InputConfig input = plain_input(3, 1);
  input.crop_pct = 3;  // resized to a short side of 1, in a square of 3: one column of padding, at the right
  CHECK(to_samples(eval(image, input), 1) == Bytes{0, 0, 0, 10, 20, 0, 0, 0, 0});
  CHECK(to_samples(train(image, input, {.flip = 1}, 0), 1) == Bytes{0, 0, 0, 0, 20, 10, 0, 0, 0});
}

TEST_CASE("erasing covers a rectangle of 2 to 33 percent with the mean") {
  const Image image{.width = 32, .height = 32, .channels = 3, .pixels = Bytes(32 * 32 * 3, 255)};
  const InputConfig input{.size = 32, .crop_pct = 1};  // white is 1
  int erased = 0;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    const std::vector<float> out = train(image, input, {.erase = 0.5}, i);
    std::set<std::int64_t> rows, columns;
    std::int64_t zeros = 0;
    for (std::int64_t at = 0; at < std::ssize(out); ++at) {
      if (out[static_cast<std::size_t>(at)] == 1) continue;
      REQUIRE(out[static_cast<std::size_t>(at)] == 0);
      rows.insert(at / 32 % 32);
      columns.insert(at % 32);
      ++zeros;
    }
    if (zeros == 0) continue;
    ++erased;
    const std::int64_t area = std::ssize(rows) * std::ssize(columns);
    CHECK(zeros == 3 * area);  // a whole rectangle in all three channels
    CHECK(*rows.rbegin() - *rows.begin() + 1 == std::ssize(rows));
    CHECK(*columns.rbegin() - *columns.begin() + 1 == std::ssize(columns));
    CHECK(std::max(rows.size(), columns.size()) < 32);
    CHECK(area > 0.015 * 1024);  // sides are rounded
    CHECK(area < 0.36 * 1024);
  }
  CHECK(erased > 900);
  CHECK(erased < 1100);
}

// An image that says where each pixel is: red the column, green the row.
Image coordinates(std::int64_t width, std::int64_t height) {
  Image image{.width = width, .height = height, .channels = 3, .pixels = {}};
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (const std::int64_t sample : {x, y, std::int64_t{0}})
        image.pixels.push_back(static_cast<std::uint8_t>(sample));
  return image;
}

TEST_CASE("random crops keep to the share of the area and to the aspect ratio, and reach the borders") {
  const std::int64_t side = 200, size = 100;
  const Image image = coordinates(side, side);
  double least = 1e9, most = 0, mean_area = 0, left_edge = 1e9, right_edge = 0;
  const int count = 300;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto out = train(image, plain_input(size, 3), {.crop_min = 0.25, .flip = 0}, i);
    const auto at = [&](std::int64_t c, std::int64_t y, std::int64_t x) {
      return static_cast<double>(out[static_cast<std::size_t>((c * size + y) * size + x)]);
    };
    // Away from the borders, coordinates are linear: from pixel 25 to 75 is half the crop.
    const double width = 2 * (at(0, 50, 75) - at(0, 50, 25)), height = 2 * (at(1, 75, 50) - at(1, 25, 50));
    const double area = width * height / (side * side), ratio = width / height;
    CHECK(area > 0.23);  // samples are rounded
    CHECK(area < 1.03);
    CHECK(ratio > 0.72);
    CHECK(ratio < 1.39);
    least = std::min(least, area);
    most = std::max(most, area);
    mean_area += area / count;
    left_edge = std::min(left_edge, at(0, 50, 0));
    right_edge = std::max(right_edge, at(0, 50, size - 1));
  }
  CHECK(least < 0.32);
  CHECK(most > 0.9);
  CHECK(mean_area > 0.55);  // uniform over [0.25, 1], less the few that do not fit
  CHECK(mean_area < 0.65);
  CHECK(left_edge < 3);
  CHECK(right_edge > side - 4);
}

TEST_CASE("a crop of the whole area of a long image falls back to its middle") {
  const Image image = coordinates(240, 30);
  const auto out = train(image, plain_input(30, 3), {.crop_min = 0.999, .crop_ratio = 1, .flip = 0}, 0);
  CHECK(out[0] == 105);  // a square of 30 from column (240 − 30) / 2
  CHECK(out[29] == 134);
}

TEST_CASE("names of interpolations") {
  CHECK(std::string(name_of(Interpolation::bicubic)) == "bicubic");
  CHECK(std::string(name_of(Interpolation::bilinear)) == "bilinear");
}

}  // namespace
}  // namespace vitrail
