// PNG (W3C recommendation, second edition) through libspng.

#include <fmt/format.h>
#include <spng.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

#include "engine/data/image_formats.h"
#include "engine/data/orientation.h"
#include "engine/error.h"

namespace vitrail {
namespace {

using Context = std::unique_ptr<spng_ctx, decltype(&spng_ctx_free)>;

// Deflate makes at most 1032 bytes of one (RFC 1951: 258 bytes by two bits), which bounds what a file can
// hold.
constexpr std::uint64_t kMaxDeflateRatio = 1032;
constexpr std::size_t kMaxChunk = std::size_t{1}
                                  << 26;  // bytes of one chunk other than pixels, and of all of them

void require(int result) {
  if (result != SPNG_OK) throw DataError(fmt::format("broken PNG: {}", spng_strerror(result)));
}

Context open_png(std::span<const std::uint8_t> bytes) {
  Context context(spng_ctx_new(0), &spng_ctx_free);
  if (!context) throw std::bad_alloc();
  require(spng_set_crc_action(context.get(), SPNG_CRC_ERROR, SPNG_CRC_ERROR));
  require(spng_set_image_limits(context.get(), kMaxSide, kMaxSide));
  require(spng_set_chunk_limits(context.get(), kMaxChunk, kMaxChunk));
  require(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()));
  return context;
}

spng_ihdr read_ihdr(spng_ctx* context) {
  spng_ihdr ihdr{};
  require(spng_get_ihdr(context, &ihdr));
  check_extents(ihdr.width, ihdr.height);
  return ihdr;
}

std::uint64_t samples_per_pixel(const spng_ihdr& ihdr) {
  switch (ihdr.color_type) {
    case SPNG_COLOR_TYPE_TRUECOLOR:
      return 3;
    case SPNG_COLOR_TYPE_TRUECOLOR_ALPHA:
      return 4;
    case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA:
      return 2;
    default:
      return 1;
  }
}

// Refuses a small file that claims to be huge before memory is taken for it.
void check_plausible(const spng_ihdr& ihdr, std::size_t file_size) {
  const std::uint64_t bits =
      std::uint64_t{ihdr.width} * ihdr.height * samples_per_pixel(ihdr) * ihdr.bit_depth;
  if (bits / 8 > file_size * kMaxDeflateRatio)
    throw DataError(fmt::format("broken PNG: {} x {} pixels cannot be in a file of {} bytes", ihdr.width,
                                ihdr.height, file_size));
}

// Calls chunk(type, data) for each chunk in turn until it returns true, and returns true then; false when the
// file ends before.
template <class Chunk>
bool find_chunk(std::span<const std::uint8_t> bytes, const Chunk& chunk) {
  constexpr std::size_t kFrame = 12;  // length, type and checksum
  std::size_t at = 8;
  while (bytes.size() - at >= kFrame) {
    const std::size_t length = std::size_t{bytes[at]} << 24 | std::size_t{bytes[at + 1]} << 16 |
                               std::size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    if (bytes.size() - at - kFrame < length) break;
    const char* type = reinterpret_cast<const char*>(bytes.data() + at + 4);
    if (chunk(std::string_view(type, 4), bytes.subspan(at + 8, length))) return true;
    at += kFrame + length;
  }
  return false;
}

// libspng is content when the last checksum is missing, or never looks at it: the chunks must reach the end
// chunk.
void check_complete(std::span<const std::uint8_t> bytes) {
  if (!find_chunk(bytes, [](std::string_view type, std::span<const std::uint8_t>) { return type == "IEND"; }))
    throw DataError("broken PNG: it is cut off before its end chunk");
}

int png_orientation(std::span<const std::uint8_t> bytes) {
  int orientation = 1;
  (void)find_chunk(bytes, [&](std::string_view type, std::span<const std::uint8_t> data) {
    if (type == "eXIf") orientation = read_tiff_orientation(data);
    return type == "eXIf" || type == "IEND";
  });
  return orientation;
}

}  // namespace

bool is_png(std::span<const std::uint8_t> bytes) {
  constexpr std::uint8_t kSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  return bytes.size() >= 8 && std::equal(bytes.begin(), bytes.begin() + 8, kSignature);
}

ImageHeader png_header(std::span<const std::uint8_t> bytes) {
  const Context context = open_png(bytes);
  const spng_ihdr ihdr = read_ihdr(context.get());
  const bool swap = png_orientation(bytes) >= 5;
  return {.width = swap ? ihdr.height : ihdr.width,
          .height = swap ? ihdr.width : ihdr.height,
          .grey = ihdr.color_type == SPNG_COLOR_TYPE_GRAYSCALE ||
                  ihdr.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA};
}

// libspng expands palettes and fewer than 8 bits, and takes the high byte of 16, in grey too (where Pillow's
// convert makes all above 255 white).
Image decode_png(std::span<const std::uint8_t> bytes, bool alpha) {
  check_complete(bytes);
  const Context context = open_png(bytes);
  const spng_ihdr ihdr = read_ihdr(context.get());
  check_plausible(ihdr, bytes.size());
  Image image{.width = ihdr.width, .height = ihdr.height, .channels = alpha ? 4 : 3, .pixels = {}};
  image.pixels.resize(static_cast<std::size_t>(image.width * image.height * image.channels));
  require(spng_decode_image(context.get(), image.pixels.data(), image.pixels.size(),
                            alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8, alpha ? SPNG_DECODE_TRNS : 0));
  require(spng_decode_chunks(context.get()));  // those behind the pixels, for their checksums
  return apply_orientation(std::move(image), png_orientation(bytes));
}

}  // namespace vitrail
