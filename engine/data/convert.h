#pragma once
// Between grey and colour, with and without alpha.

#include <span>

#include "engine/data/image.h"

namespace vitrail {

// From 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels to any other of them; reuses the memory of
// `out`. Grey is ITU-R 601 luma in 16-bit fixed point, as in Pillow's convert("L"); a missing alpha is
// opaque; an alpha that is not wanted is dropped, not blended.
void convert_channels(const Image& image, std::int64_t channels, Image& out);

// grey (pixels) -> out (pixels, channels), as above.
void expand_grey(std::span<const std::uint8_t> grey, std::int64_t channels, std::span<std::uint8_t> out);

}  // namespace vitrail
