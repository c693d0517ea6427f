#include "engine/data/resample.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

namespace vitrail {
namespace {

using Taps = ResampleScratch::Taps;

// 32 bits hold a sample (8), the overshoot of negative weights and the sign (2), which leaves 22.
constexpr int kPrecision = 22;
constexpr std::int32_t kHalf = 1 << (kPrecision - 1);

struct Filter {
  double support = 0;  // it is 0 beyond
  double (*weight)(double) = nullptr;
};

double bilinear_weight(double x) {
  return std::max(0.0, 1.0 - std::abs(x));
}

// Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = −0.5:
// |x| < 1:  (a + 2)|x|³ − (a + 3)|x|² + 1        1 ≤ |x| < 2:  a(|x|³ − 5|x|² + 8|x| − 4)
double bicubic_weight(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

Filter filter_of(Interpolation interpolation) {
  if (interpolation == Interpolation::bicubic) return {.support = 2, .weight = bicubic_weight};
  return {.support = 1, .weight = bilinear_weight};
}

std::int32_t to_fixed(double weight) {
  return static_cast<std::int32_t>(std::trunc(weight * (1 << kPrecision) + (weight < 0 ? -0.5 : 0.5)));
}

// Weights of one sample of the result: the filter, as wide as the step between samples when shrinking, around
// `center`, cut at the borders and made to add up to one.
void fill_taps(const Filter& filter, double center, double step, std::int64_t source, std::int64_t sample,
               Taps& taps) {
  const double support = filter.support * step;
  const std::int64_t first = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
  const std::int64_t end = std::min(source, static_cast<std::int64_t>(center + support + 0.5));
  const double scale = 1.0 / step;
  double sum = 0;
  for (std::int64_t i = first; i < end; ++i) {
    const double weight = filter.weight((static_cast<double>(i) - center + 0.5) * scale);
    taps.unrounded[i - first] = weight;
    sum += weight;
  }
  std::int32_t* weights = taps.weights.data() + sample * taps.stride;
  for (std::int64_t i = 0; i < end - first; ++i)
    weights[i] = to_fixed(sum != 0 ? taps.unrounded[i] / sum : taps.unrounded[i]);
  taps.first[sample] = first;
  taps.count[sample] = end - first;
}

// Samples [begin, begin + samples) of `source` samples resized to `target`.
void make_taps(Interpolation interpolation, std::int64_t source, std::int64_t target, std::int64_t begin,
               std::int64_t samples, Taps& taps) {
  const Filter filter = filter_of(interpolation);
  const double scale = static_cast<double>(source) / static_cast<double>(target);
  const double step = std::max(scale, 1.0);
  taps.stride = static_cast<std::int64_t>(std::ceil(filter.support * step)) * 2 + 1;
  taps.weights.resize(static_cast<std::size_t>(samples * taps.stride));
  taps.first.resize(static_cast<std::size_t>(samples));
  taps.count.resize(static_cast<std::size_t>(samples));
  taps.unrounded.resize(static_cast<std::size_t>(taps.stride));
  for (std::int64_t i = 0; i < samples; ++i)
    fill_taps(filter, (static_cast<double>(begin + i) + 0.5) * scale, step, source, i, taps);
}

std::uint8_t to_sample(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecision, 0, 255));
}

// source (height, ·, kChannels) -> to (height, samples, kChannels)
template <int kChannels>
void horizontal_pass(const PixelView& source, const Taps& taps, std::uint8_t* to) {
  const std::int64_t samples = static_cast<std::int64_t>(taps.first.size());
  for (std::int64_t y = 0; y < source.height; ++y) {
    const std::uint8_t* row = source.pixels + y * source.stride;
    for (std::int64_t x = 0; x < samples; ++x, to += kChannels) {
      const std::uint8_t* from = row + taps.first[x] * kChannels;
      const std::int32_t* weights = taps.weights.data() + x * taps.stride;
      std::array<std::int32_t, kChannels> sums;
      sums.fill(kHalf);
      for (std::int64_t k = 0; k < taps.count[x]; ++k, from += kChannels)
        for (int c = 0; c < kChannels; ++c)
          sums[c] += from[c] * weights[k];
      for (int c = 0; c < kChannels; ++c)
        to[c] = to_sample(sums[c]);
    }
  }
}

void horizontal_pass(const PixelView& source, const Taps& taps, std::uint8_t* to) {
  switch (source.channels) {
    case 1:
      return horizontal_pass<1>(source, taps, to);
    case 2:
      return horizontal_pass<2>(source, taps, to);
    case 3:
      return horizontal_pass<3>(source, taps, to);
    default:
      return horizontal_pass<4>(source, taps, to);
  }
}

// `count` neighbouring bytes of one row of the result.
template <int kBlock>
void vertical_block(const std::uint8_t* from, std::int64_t stride, const std::int32_t* weights,
                    std::int64_t count, std::uint8_t* to) {
  std::array<std::int32_t, kBlock> sums;
  sums.fill(kHalf);
  for (std::int64_t k = 0; k < count; ++k, from += stride)
    for (int i = 0; i < kBlock; ++i)
      sums[i] += from[i] * weights[k];
  for (int i = 0; i < kBlock; ++i)
    to[i] = to_sample(sums[i]);
}

// source (·, width, channels) -> to (samples, width, channels); row 0 of `source` is row `first_row` of the
// image.
void vertical_pass(const PixelView& source, std::int64_t first_row, const Taps& taps, std::uint8_t* to) {
  constexpr int kBlock = 16;  // a constant, so that the compiler makes vectors of it
  const std::int64_t bytes = source.width * source.channels;
  for (std::size_t y = 0; y < taps.first.size(); ++y, to += bytes) {
    const std::uint8_t* from = source.pixels + (taps.first[y] - first_row) * source.stride;
    const std::int32_t* weights = taps.weights.data() + static_cast<std::int64_t>(y) * taps.stride;
    std::int64_t x = 0;
    for (; x + kBlock <= bytes; x += kBlock)
      vertical_block<kBlock>(from + x, source.stride, weights, taps.count[y], to + x);
    for (; x < bytes; ++x)
      vertical_block<1>(from + x, source.stride, weights, taps.count[y], to + x);
  }
}

PixelView view_of(const std::vector<std::uint8_t>& pixels, std::int64_t height, std::int64_t width,
                  std::int64_t channels) {
  return {.pixels = pixels.data(),
          .width = width,
          .height = height,
          .channels = channels,
          .stride = width * channels};
}

}  // namespace

PixelView view_of(const Image& image) {
  return view_of(image.pixels, image.height, image.width, image.channels);
}

PixelView crop(const PixelView& view, const Rectangle& part) {
  assert(part.top >= 0 && part.left >= 0 && part.height > 0 && part.width > 0);
  assert(part.top + part.height <= view.height && part.left + part.width <= view.width);
  return {.pixels = view.pixels + part.top * view.stride + part.left * view.channels,
          .width = part.width,
          .height = part.height,
          .channels = view.channels,
          .stride = view.stride};
}

PixelView resample(const PixelView& source, std::int64_t height, std::int64_t width, const Rectangle& part,
                   Interpolation interpolation, ResampleScratch& scratch) {
  const bool horizontal = width != source.width, vertical = height != source.height;
  Rectangle needed{.top = part.top,
                   .left = horizontal ? 0 : part.left,
                   .height = part.height,
                   .width = horizontal ? source.width : part.width};
  Taps& taps = scratch.vertical;
  if (vertical) {
    make_taps(interpolation, source.height, height, part.top, part.height, taps);
    needed.top = taps.first.front();
    needed.height = taps.first.back() + taps.count.back() - needed.top;
  }
  PixelView view = crop(source, needed);
  if (horizontal) {
    make_taps(interpolation, source.width, width, part.left, part.width, scratch.horizontal);
    scratch.rows.resize(static_cast<std::size_t>(view.height * part.width * view.channels));
    horizontal_pass(view, scratch.horizontal, scratch.rows.data());
    view = view_of(scratch.rows, view.height, part.width, view.channels);
  }
  if (vertical) {
    scratch.pixels.resize(static_cast<std::size_t>(part.height * part.width * view.channels));
    vertical_pass(view, needed.top, taps, scratch.pixels.data());
    view = view_of(scratch.pixels, part.height, part.width, view.channels);
  }
  return view;
}

}  // namespace vitrail
