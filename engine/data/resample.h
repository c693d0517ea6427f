#pragma once
// Resizing as Pillow does it (antialiased, 8-bit fixed point), so that a model sees in training here what it
// sees behind timm and torchvision.

#include <cstdint>
#include <vector>

#include "engine/data/image.h"
#include "engine/data/transform.h"

namespace vitrail {

// A rectangle of someone else's 8-bit samples, channels interleaved.
struct PixelView {
  const std::uint8_t* pixels = nullptr;
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 0;
  std::int64_t stride = 0;  // bytes from row to row
};

struct Rectangle {
  std::int64_t top = 0;
  std::int64_t left = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
};

PixelView view_of(const Image& image);
PixelView crop(const PixelView& view, const Rectangle& part);

// Memory that is kept from call to call.
struct ResampleScratch {
  struct Taps {
    std::int64_t stride = 0;            // weights a sample, the last ones unused
    std::vector<std::int32_t> weights;  // (samples, stride)  2^22 is one
    std::vector<std::int64_t> first;    // (samples)  where its weights begin in the source
    std::vector<std::int64_t> count;    // (samples)  how many there are
    std::vector<double> unrounded;      // (stride)
  };
  Taps horizontal, vertical;
  std::vector<std::uint8_t> rows;    // after the horizontal pass
  std::vector<std::uint8_t> pixels;  // after the vertical pass
};

// `source` resized to (height, width), of which only `part` is computed: the same samples as when all of it
// is. The view is into `scratch`, or into `source` where no resizing is needed.
PixelView resample(const PixelView& source, std::int64_t height, std::int64_t width, const Rectangle& part,
                   Interpolation interpolation, ResampleScratch& scratch);

}  // namespace vitrail
