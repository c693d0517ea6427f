#include "engine/data/convert.h"

#include <doctest/doctest.h>

#include <array>

namespace vitrail {
namespace {

std::vector<std::uint8_t> converted(std::vector<std::uint8_t> pixel, std::int64_t channels) {
  const Image image{.width = 1, .height = 1, .channels = std::ssize(pixel), .pixels = pixel};
  Image out;
  convert_channels(image, channels, out);
  CHECK(out.channels == channels);
  return out.pixels;
}

using Samples = std::vector<std::uint8_t>;

TEST_CASE("grey, colour and alpha in all sixteen combinations") {
  // 0.299·200 + 0.587·100 + 0.114·50 = 124.2
  CHECK(converted({9}, 1) == Samples{9});
  CHECK(converted({9}, 2) == Samples{9, 255});
  CHECK(converted({9}, 3) == Samples{9, 9, 9});
  CHECK(converted({9}, 4) == Samples{9, 9, 9, 255});
  CHECK(converted({9, 7}, 1) == Samples{9});
  CHECK(converted({9, 7}, 2) == Samples{9, 7});
  CHECK(converted({9, 7}, 3) == Samples{9, 9, 9});
  CHECK(converted({9, 7}, 4) == Samples{9, 9, 9, 7});
  CHECK(converted({200, 100, 50}, 1) == Samples{124});
  CHECK(converted({200, 100, 50}, 2) == Samples{124, 255});
  CHECK(converted({200, 100, 50}, 3) == Samples{200, 100, 50});
  CHECK(converted({200, 100, 50}, 4) == Samples{200, 100, 50, 255});
  CHECK(converted({200, 100, 50, 7}, 1) == Samples{124});
  CHECK(converted({200, 100, 50, 7}, 2) == Samples{124, 7});
  CHECK(converted({200, 100, 50, 7}, 3) == Samples{200, 100, 50});
  CHECK(converted({200, 100, 50, 7}, 4) == Samples{200, 100, 50, 7});
}

TEST_CASE("a grey that is made into colour comes back unchanged") {
  for (int grey = 0; grey < 256; ++grey) {
    const auto sample = static_cast<std::uint8_t>(grey);
    CHECK(converted(converted({sample}, 3), 1) == Samples{sample});
  }
}

TEST_CASE("pixels stay in their order") {
  const Samples grey{1, 2, 3};
  Samples out(9);
  expand_grey(grey, 3, out);
  CHECK(out == Samples{1, 1, 1, 2, 2, 2, 3, 3, 3});
}

}  // namespace
}  // namespace vitrail
