#include "engine/data/image.h"

#include <fmt/format.h>

#include <cassert>
#include <utility>

#include "engine/data/convert.h"
#include "engine/data/file_bytes.h"
#include "engine/data/image_formats.h"
#include "engine/error.h"

namespace vitrail {
namespace {

std::string first_bytes(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes.first(std::min<std::size_t>(bytes.size(), 4)))
    text += fmt::format("{:02X} ", byte);
  return bytes.empty() ? "no bytes at all" : "bytes that start with " + text.substr(0, text.size() - 1);
}

[[noreturn]] void refuse_format(std::span<const std::uint8_t> bytes) {
  throw DataError(fmt::format("expected a PNG or JPEG image, found {}", first_bytes(bytes)));
}

}  // namespace

void check_extents(std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide || width * height > kMaxPixels)
    throw DataError(fmt::format("an image of {} x {} pixels: at most {} a side and {} in all are read", width,
                                height, kMaxSide, kMaxPixels));
}

ImageHeader image_header(std::span<const std::uint8_t> bytes) {
  if (is_png(bytes)) return png_header(bytes);
  if (is_jpeg(bytes)) return jpeg_header(bytes);
  refuse_format(bytes);
}

Image decode_image(std::span<const std::uint8_t> bytes, std::int64_t channels) {
  assert(channels >= 1 && channels <= 4);
  if (!is_png(bytes) && !is_jpeg(bytes)) refuse_format(bytes);
  Image image = is_png(bytes) ? decode_png(bytes, channels % 2 == 0) : decode_jpeg(bytes);
  if (image.channels == channels) return image;
  Image converted;
  convert_channels(image, channels, converted);
  return converted;
}

Image read_image(const std::filesystem::path& path, std::int64_t channels) {
  const std::vector<std::uint8_t> bytes = read_file(path);
  try {
    return decode_image(bytes, channels);
  } catch (const DataError& error) {
    throw DataError(fmt::format("cannot decode '{}': {}", path.string(), error.what()));
  }
}

}  // namespace vitrail
