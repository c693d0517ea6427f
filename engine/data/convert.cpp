#include "engine/data/convert.h"

#include <cassert>

namespace vitrail {
namespace {

using Samples = std::span<const std::uint8_t>;

constexpr bool has_alpha(std::int64_t channels) {
  return channels % 2 == 0;
}
constexpr bool has_colour(std::int64_t channels) {
  return channels >= 3;
}

std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

// pixel (from) -> result (to)
template <int kFrom, int kTo>
void convert_pixel(const std::uint8_t* pixel, std::uint8_t* result) {
  if constexpr (has_colour(kTo)) {
    for (int c = 0; c < 3; ++c)
      result[c] = pixel[has_colour(kFrom) ? c : 0];
  } else {
    result[0] = has_colour(kFrom) ? luma(pixel) : pixel[0];
  }
  if constexpr (has_alpha(kTo)) result[kTo - 1] = has_alpha(kFrom) ? pixel[kFrom - 1] : std::uint8_t{255};
}

// in (pixels, from) -> out (pixels, to)
template <int kFrom, int kTo>
void convert_all(Samples in, std::span<std::uint8_t> out) {
  const std::size_t count = in.size() / kFrom;
  for (std::size_t i = 0; i < count; ++i)
    convert_pixel<kFrom, kTo>(in.data() + i * kFrom, out.data() + i * kTo);
}

template <int kFrom>
void convert_from(Samples in, std::int64_t channels, std::span<std::uint8_t> out) {
  switch (channels) {
    case 1:
      return convert_all<kFrom, 1>(in, out);
    case 2:
      return convert_all<kFrom, 2>(in, out);
    case 3:
      return convert_all<kFrom, 3>(in, out);
    default:
      return convert_all<kFrom, 4>(in, out);
  }
}

}  // namespace

void convert_channels(const Image& image, std::int64_t channels, Image& out) {
  assert(image.channels >= 1 && image.channels <= 4 && channels >= 1 && channels <= 4);
  assert(&image != &out);
  out.width = image.width;
  out.height = image.height;
  out.channels = channels;
  out.pixels.resize(static_cast<std::size_t>(image.width * image.height * channels));
  switch (image.channels) {
    case 1:
      return convert_from<1>(image.pixels, channels, out.pixels);
    case 2:
      return convert_from<2>(image.pixels, channels, out.pixels);
    case 3:
      return convert_from<3>(image.pixels, channels, out.pixels);
    default:
      return convert_from<4>(image.pixels, channels, out.pixels);
  }
}

void expand_grey(Samples grey, std::int64_t channels, std::span<std::uint8_t> out) {
  assert(channels >= 1 && channels <= 4 && std::ssize(out) == std::ssize(grey) * channels);
  convert_from<1>(grey, channels, out);
}

}  // namespace vitrail
