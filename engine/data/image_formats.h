#pragma once
// What each file format must do for image.h. Errors are DataErrors that say what is wrong, without the file's
// name.

#include <cstdint>
#include <span>

#include "engine/data/image.h"

namespace vitrail {

constexpr std::int64_t kMaxSide = std::int64_t{1} << 14;    // pixels
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 27;  // width · height: 384 MiB as RGB

// What a file's header says, before any pixel is decoded.
struct ImageHeader {
  std::int64_t width = 0;
  std::int64_t height = 0;
  bool grey = false;
};

bool is_png(std::span<const std::uint8_t> bytes);
bool is_jpeg(std::span<const std::uint8_t> bytes);

// The file may be cut off after its header.
ImageHeader png_header(std::span<const std::uint8_t> bytes);
ImageHeader jpeg_header(std::span<const std::uint8_t> bytes);
ImageHeader image_header(std::span<const std::uint8_t> bytes);

// In the channels that come cheapest: RGB, grey (JPEG), or RGBA when `alpha` is wanted and the format knows
// it.
Image decode_png(std::span<const std::uint8_t> bytes, bool alpha);
Image decode_jpeg(std::span<const std::uint8_t> bytes);

// Throws DataError when the extents are not positive or beyond the limits above.
void check_extents(std::int64_t width, std::int64_t height);

}  // namespace vitrail
