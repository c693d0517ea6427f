#include "engine/data/transform.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "engine/data/resample.h"

namespace vitrail {
namespace {

// Blocks of random numbers, in the order of their use.
constexpr std::uint32_t kTries = 10;
constexpr std::uint32_t kCropDraw = 0;                   // and the next nine: area, aspect ratio, top, left
constexpr std::uint32_t kMoveDraw = kCropDraw + kTries;  // down, right, flip
constexpr std::uint32_t kEraseDraw = kMoveDraw + 1;      // whether
constexpr std::uint32_t kEraseTryDraw = kEraseDraw + 1;  // and the next nine: area, aspect ratio, top, left

// Where an image lies in the model's square: pixel (0, 0) is at (top, left), both of which may be negative.
struct Placement {
  std::int64_t top = 0;
  std::int64_t left = 0;
  bool flip = false;
};

struct Prepared {
  PixelView view;
  Placement placement;
};

ResampleScratch& thread_scratch() {
  thread_local ResampleScratch scratch;
  return scratch;
}

// Half of an integer, rounded to even as Python's round() does.
std::int64_t half_to_even(std::int64_t value) {
  const std::int64_t half = value / 2;
  return value % 2 != 0 && half % 2 != 0 ? half + 1 : half;
}

// One axis of torchvision's center_crop: what is kept of `extent` samples, and where it lies in `size`.
struct CentredAxis {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t offset = 0;
};

CentredAxis centre(std::int64_t extent, std::int64_t size) {
  if (extent <= size) return {.begin = 0, .count = extent, .offset = (size - extent) / 2};
  return {.begin = half_to_even(extent - size), .count = size, .offset = 0};
}

// torchvision's Resize on the short side, then CenterCrop, of which only the centre is computed.
Prepared prepare_eval(const PixelView& image, const InputConfig& input) {
  const auto target = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(std::floor(static_cast<double>(input.size) / input.crop_pct)));
  const std::int64_t short_side = std::min(image.width, image.height);
  const std::int64_t height = target * image.height / short_side;
  const std::int64_t width = target * image.width / short_side;
  const CentredAxis rows = centre(height, input.size), columns = centre(width, input.size);
  const Rectangle part{
      .top = rows.begin, .left = columns.begin, .height = rows.count, .width = columns.count};
  return {.view = resample(image, height, width, part, input.interpolation, thread_scratch()),
          .placement = {.top = rows.offset, .left = columns.offset}};
}

// [low, high), where high may equal low
double between(std::uint32_t bits, double low, double high) {
  return low + (high - low) * uniform(bits);
}

// [0, count). The bias, below count / 2^32, is nothing beside that of a pixel.
std::int64_t below(std::uint32_t bits, std::int64_t count) {
  return static_cast<std::int64_t>((std::uint64_t{bits} * static_cast<std::uint64_t>(count)) >> 32);
}

// Height and width of a rectangle of that area and aspect ratio (width / height).
struct Extent {
  std::int64_t height = 0;
  std::int64_t width = 0;
};

Extent extent_of(double area, double ratio) {
  return {.height = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area / ratio))),
          .width = static_cast<std::int64_t>(std::nearbyint(std::sqrt(area * ratio)))};
}

// [1 / limit, limit), uniform in the logarithm
double draw_ratio(std::uint32_t bits, double limit) {
  return std::exp(between(bits, -std::log(limit), std::log(limit)));
}

// The largest rectangle in the middle whose aspect ratio is allowed.
Rectangle fallback_crop(const PixelView& image, double limit) {
  const double ratio = static_cast<double>(image.width) / static_cast<double>(image.height);
  Extent extent{.height = image.height, .width = image.width};
  if (ratio < 1 / limit)
    extent.height = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(image.width) * limit));
  if (ratio > limit)
    extent.width = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(image.height) * limit));
  return {.top = (image.height - extent.height) / 2,
          .left = (image.width - extent.width) / 2,
          .height = extent.height,
          .width = extent.width};
}

// torchvision's RandomResizedCrop.get_params (Szegedy et al., "Going deeper with convolutions", 2014).
Rectangle random_crop(const PixelView& image, const AugmentConfig& augment, const RandomKey& key,
                      std::uint32_t index) {
  const double area = static_cast<double>(image.width * image.height);
  for (std::uint32_t k = 0; k < kTries; ++k) {
    const Random4 draw = random4(key, index, kCropDraw + k);
    const Extent extent =
        extent_of(area * between(draw[0], augment.crop_min, 1), draw_ratio(draw[1], augment.crop_ratio));
    if (extent.height < 1 || extent.width < 1) continue;
    if (extent.height > image.height || extent.width > image.width) continue;
    return {.top = below(draw[2], image.height - extent.height + 1),
            .left = below(draw[3], image.width - extent.width + 1),
            .height = extent.height,
            .width = extent.width};
  }
  return fallback_crop(image, augment.crop_ratio);
}

Prepared prepare_train(const PixelView& image, const InputConfig& input, const AugmentConfig& augment,
                       const RandomKey& key, std::uint32_t index) {
  if (augment.crop_min >= 1) return prepare_eval(image, input);
  const PixelView part = crop(image, random_crop(image, augment, key, index));
  const Rectangle all{.top = 0, .left = 0, .height = input.size, .width = input.size};
  return {.view = resample(part, input.size, input.size, all, input.interpolation, thread_scratch()),
          .placement = {}};
}

// The whole square is mirrored first, then moved.
void move(const AugmentConfig& augment, const RandomKey& key, std::uint32_t index, std::int64_t size,
          Prepared& prepared) {
  const Random4 draw = random4(key, index, kMoveDraw);
  Placement& placement = prepared.placement;
  if (uniform(draw[2]) < augment.flip) {
    placement.flip = true;
    placement.left = size - placement.left - prepared.view.width;
  }
  placement.top += below(draw[0], 2 * augment.shift + 1) - augment.shift;
  placement.left += below(draw[1], 2 * augment.shift + 1) - augment.shift;
}

// y = (x/255 − mean) / std = scale·x + bias
struct Affine {
  float scale = 1;
  float bias = 0;
};

// One row of one channel; from points at the sample of column `begin`, and samples are `step` bytes apart.
void write_row(const std::uint8_t* from, std::int64_t step, std::int64_t begin, std::int64_t end,
               std::int64_t size, const Affine& affine, float* to) {
  std::fill(to, to + begin, affine.bias);
  for (std::int64_t x = begin; x < end; ++x, from += step)
    to[x] = affine.scale * static_cast<float>(*from) + affine.bias;
  std::fill(to + end, to + size, affine.bias);
}

// out (size, size) of one channel; black where the image is not
void write_channel(const Prepared& prepared, std::int64_t channel, std::int64_t size, const Affine& affine,
                   float* out) {
  const auto& [view, placement] = prepared;
  const std::int64_t begin = std::clamp<std::int64_t>(placement.left, 0, size);
  const std::int64_t end = std::clamp<std::int64_t>(placement.left + view.width, begin, size);
  const std::int64_t first = begin - placement.left;  // column of the image, or of its mirror image
  const std::int64_t column = placement.flip ? view.width - 1 - first : first;
  const std::int64_t step = placement.flip ? -view.channels : view.channels;
  for (std::int64_t y = 0; y < size; ++y, out += size) {
    const std::int64_t row = y - placement.top;
    if (row < 0 || row >= view.height || begin == end) {
      std::fill(out, out + size, affine.bias);
      continue;
    }
    const std::uint8_t* from = view.pixels + row * view.stride + column * view.channels + channel;
    write_row(from, step, begin, end, size, affine, out);
  }
}

void write_normalised(const Prepared& prepared, const InputConfig& input, std::span<float> out) {
  for (std::int64_t c = 0; c < input.channels; ++c) {
    const Affine affine{.scale = static_cast<float>(1 / (255 * input.std[c])),
                        .bias = static_cast<float>(-input.mean[c] / input.std[c])};
    write_channel(prepared, c, input.size, affine, out.data() + c * input.size * input.size);
  }
}

// Zhong et al., arXiv 1708.04896, algorithm 1, with timm's range of the area, 2 % to a third of the image,
// and aspect ratios from 0.3 to 1/0.3, uniform in the logarithm. The mean is 0 after normalisation.
void erase_rectangle(const InputConfig& input, const RandomKey& key, std::uint32_t index,
                     std::span<float> out) {
  const std::int64_t size = input.size;
  const double area = static_cast<double>(size * size);
  for (std::uint32_t k = 0; k < kTries; ++k) {
    const Random4 draw = random4(key, index, kEraseTryDraw + k);
    const Extent extent = extent_of(area * between(draw[0], 0.02, 1.0 / 3), draw_ratio(draw[1], 1 / 0.3));
    if (extent.height >= size || extent.width >= size) continue;
    const std::int64_t top = below(draw[2], size - extent.height + 1);
    const std::int64_t left = below(draw[3], size - extent.width + 1);
    for (std::int64_t c = 0; c < input.channels; ++c)
      for (std::int64_t y = top; y < top + extent.height; ++y)
        std::fill_n(out.data() + (c * size + y) * size + left, extent.width, 0.0f);
    return;
  }
}

void check_operands(const Image& image, const InputConfig& input, std::span<float> out) {
  assert(image.channels == input.channels && image.width > 0 && image.height > 0);
  assert(std::ssize(image.pixels) == image.width * image.height * image.channels);
  assert(std::ssize(out) == input.channels * input.size * input.size);
  static_cast<void>(image);
  static_cast<void>(input);
  static_cast<void>(out);
}

}  // namespace

void transform_eval(const Image& image, const InputConfig& input, std::span<float> out) {
  check_operands(image, input, out);
  write_normalised(prepare_eval(view_of(image), input), input, out);
}

void transform_train(const Image& image, const InputConfig& input, const AugmentConfig& augment,
                     const RandomKey& key, std::uint32_t index, std::span<float> out) {
  check_operands(image, input, out);
  Prepared prepared = prepare_train(view_of(image), input, augment, key, index);
  move(augment, key, index, input.size, prepared);
  write_normalised(prepared, input, out);
  if (uniform(random4(key, index, kEraseDraw)[0]) < augment.erase) erase_rectangle(input, key, index, out);
}

const char* name_of(Interpolation interpolation) {
  return interpolation == Interpolation::bicubic ? "bicubic" : "bilinear";
}

}  // namespace vitrail
