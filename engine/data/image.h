#pragma once
// A decoded image, and how files become one.

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace vitrail {

// 8-bit samples, row-major, channels interleaved: pixels[(row·width + column)·channels + channel].
struct Image {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::int64_t channels = 0;  // 1 grey, 3 RGB, 4 RGBA
  std::vector<std::uint8_t> pixels;
};

// PNG or JPEG, told apart by content. `channels` is what the caller wants (1 to 4): grey and colour are
// converted. The EXIF orientation is applied. Throws DataError naming what is wrong.
Image decode_image(std::span<const std::uint8_t> bytes, std::int64_t channels);
Image read_image(const std::filesystem::path& path, std::int64_t channels);

}  // namespace vitrail
