#include "engine/data/orientation.h"

#include <algorithm>
#include <cassert>
#include <optional>

namespace vitrail {
namespace {

using Bytes = std::span<const std::uint8_t>;

// Numbers out of TIFF data, in its byte order; nothing when they lie outside.
struct TiffReader {
  Bytes bytes;
  bool big_endian = false;

  std::optional<std::uint32_t> number(std::size_t offset, std::size_t size) const {
    if (offset > bytes.size() || bytes.size() - offset < size) return std::nullopt;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value = value << 8 | bytes[offset + (big_endian ? i : size - 1 - i)];
    return value;
  }
};

constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kTypeShort = 3;
constexpr std::size_t kEntrySize = 12;  // tag (2), type (2), count (4), value (4)

// An entry of the first directory: orientation when it is that tag, of the right type, count and range.
std::optional<int> orientation_of_entry(const TiffReader& tiff, std::size_t offset) {
  if (tiff.number(offset, 2) != kOrientationTag) return std::nullopt;
  if (tiff.number(offset + 2, 2) != kTypeShort || tiff.number(offset + 4, 4) != 1u) return std::nullopt;
  const std::optional<std::uint32_t> value = tiff.number(offset + 8, 2);
  if (!value || *value < 1 || *value > 8) return std::nullopt;
  return static_cast<int>(*value);
}

bool is_exif(Bytes segment) {
  constexpr std::uint8_t kSignature[] = {'E', 'x', 'i', 'f', 0, 0};
  return segment.size() >= 6 && std::equal(segment.begin(), segment.begin() + 6, kSignature);
}

constexpr std::uint8_t kApp1 = 0xE1, kStartOfScan = 0xDA, kEndOfImage = 0xD9;

}  // namespace

int read_tiff_orientation(Bytes bytes) {
  if (bytes.size() < 8) return 1;
  const bool intel = bytes[0] == 'I' && bytes[1] == 'I';
  const bool motorola = bytes[0] == 'M' && bytes[1] == 'M';
  if (!intel && !motorola) return 1;
  const TiffReader tiff{.bytes = bytes, .big_endian = motorola};
  if (tiff.number(2, 2) != 42u) return 1;
  const std::size_t directory = *tiff.number(4, 4);
  const std::uint32_t entries = tiff.number(directory, 2).value_or(0);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t offset = directory + 2 + i * kEntrySize;
    if (const auto orientation = orientation_of_entry(tiff, offset)) return *orientation;
  }
  return 1;
}

int read_orientation(Bytes jpeg) {
  std::size_t at = 2;  // after the start-of-image marker
  while (at + 4 <= jpeg.size() && jpeg[at] == 0xFF) {
    const std::uint8_t marker = jpeg[at + 1];
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    if (marker == kStartOfScan || marker == kEndOfImage) return 1;
    const std::size_t length = static_cast<std::size_t>(jpeg[at + 2]) << 8 | jpeg[at + 3];
    if (length < 2 || jpeg.size() - at - 2 < length) return 1;
    const Bytes segment = jpeg.subspan(at + 4, length - 2);
    if (marker == kApp1 && is_exif(segment)) return read_tiff_orientation(segment.subspan(6));
    at += 2 + length;
  }
  return 1;
}

// orientation   1      2      3         4      5          6            7           8
// to be done    none   ←→     turn 180  ↑↓     transpose  turn right   transverse  turn left
Image apply_orientation(Image image, int orientation) {
  assert(orientation >= 1 && orientation <= 8);
  if (orientation == 1) return image;
  const bool swap = orientation >= 5;
  const bool flip_rows = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool flip_columns = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  Image out{.width = swap ? image.height : image.width,
            .height = swap ? image.width : image.height,
            .channels = image.channels,
            .pixels = std::vector<std::uint8_t>(image.pixels.size())};
  std::uint8_t* to = out.pixels.data();
  for (std::int64_t y = 0; y < out.height; ++y) {
    for (std::int64_t x = 0; x < out.width; ++x, to += image.channels) {
      const std::int64_t row = swap ? x : y, column = swap ? y : x;
      const std::int64_t from_row = flip_rows ? image.height - 1 - row : row;
      const std::int64_t from_column = flip_columns ? image.width - 1 - column : column;
      const std::uint8_t* from =
          image.pixels.data() + (from_row * image.width + from_column) * image.channels;
      std::copy_n(from, image.channels, to);
    }
  }
  return out;
}

}  // namespace vitrail
