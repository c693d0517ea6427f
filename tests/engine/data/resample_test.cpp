#include "engine/data/resample.h"

#include <doctest/doctest.h>

#include "tests/support/data_files.h"

namespace vitrail {
namespace {

using test::Bytes;

Bytes samples_of(const PixelView& view) {
  Bytes samples;
  for (std::int64_t y = 0; y < view.height; ++y)
    samples.insert(samples.end(), view.pixels + y * view.stride,
                   view.pixels + y * view.stride + view.width * view.channels);
  return samples;
}

TEST_CASE("resized samples are Pillow's, bit for bit") {
  ResampleScratch scratch;
  int cases = 0;
  for (test::Records records("resample.bin"); !records.done(); ++cases) {
    const std::int64_t width = records.number(), height = records.number(), channels = records.number();
    const auto seed = static_cast<std::uint32_t>(records.number());
    const std::int64_t to_width = records.number(), to_height = records.number();
    const auto interpolation = static_cast<Interpolation>(records.number());
    CAPTURE(cases);
    const Image image = test::noise(width, height, channels, seed);
    const Rectangle all{.top = 0, .left = 0, .height = to_height, .width = to_width};
    const PixelView view = resample(view_of(image), to_height, to_width, all, interpolation, scratch);
    CHECK(samples_of(view) == records.take(to_width * to_height * channels));
  }
  CHECK(cases == 40);
}

TEST_CASE("a part of the result is the same as when all of it is computed") {
  struct Size {
    std::int64_t height, width;
  };
  ResampleScratch scratch, part_scratch;
  for (const std::int64_t channels : {1, 2, 3, 4}) {
    const Image image = test::noise(37, 29, channels, 5);
    for (const auto& [height, width] :
         {Size{20, 15}, Size{29, 60}, Size{50, 37}, Size{29, 37}, Size{61, 43}}) {
      const Rectangle all{.top = 0, .left = 0, .height = height, .width = width};
      const Rectangle part{.top = 4, .left = 3, .height = height - 9, .width = width - 8};
      const PixelView whole = resample(view_of(image), height, width, all, Interpolation::bicubic, scratch);
      const PixelView view =
          resample(view_of(image), height, width, part, Interpolation::bicubic, part_scratch);
      CHECK(samples_of(view) == samples_of(crop(whole, part)));
    }
  }
}

TEST_CASE("a rectangle is resized as an image of its own, blind to what is around it") {
  const Image image = test::noise(40, 30, 3, 6);
  const Rectangle rectangle{.top = 5, .left = 7, .height = 20, .width = 21};
  const PixelView view = crop(view_of(image), rectangle);
  const Image copy{.width = 21, .height = 20, .channels = 3, .pixels = samples_of(view)};
  ResampleScratch scratch, copy_scratch;
  const Rectangle all{.top = 0, .left = 0, .height = 11, .width = 12};
  CHECK(samples_of(resample(view, 11, 12, all, Interpolation::bilinear, scratch)) ==
        samples_of(resample(view_of(copy), 11, 12, all, Interpolation::bilinear, copy_scratch)));
}

TEST_CASE("an image of the right size is not copied") {
  const Image image = test::noise(8, 8, 1, 7);
  ResampleScratch scratch;
  const Rectangle all{.top = 0, .left = 0, .height = 8, .width = 8};
  CHECK(resample(view_of(image), 8, 8, all, Interpolation::bicubic, scratch).pixels == image.pixels.data());
}

}  // namespace
}  // namespace vitrail
