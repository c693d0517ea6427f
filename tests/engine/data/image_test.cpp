#include "engine/data/image.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "engine/data/image_formats.h"
#include "engine/data/orientation.h"
#include "engine/error.h"
#include "tests/support/data_files.h"
#include "tests/support/temporary_folder.h"

namespace vitrail {
namespace {

using test::Bytes;

TEST_CASE("PNG and JPEG decode to the samples that Pillow decodes, in every number of channels") {
  int files = 0;
  for (test::Records records("decoded.bin"); !records.done(); ++files) {
    const std::int64_t name_length = records.number();
    const std::int64_t width = records.number(), height = records.number(), channels = records.number();
    const Bytes name_bytes = records.take(name_length);
    const std::string name(name_bytes.begin(), name_bytes.end());
    CAPTURE(name);
    CAPTURE(channels);
    const Image image = read_image(test::fixture(name), channels);
    CHECK(image.width == width);
    CHECK(image.height == height);
    CHECK(image.channels == channels);
    CHECK(image.pixels == records.take(width * height * channels));
  }
  CHECK(files == 64);
}

TEST_CASE("an upright camera and the other seven give images turned the way EXIF says") {
  const Image upright = read_image(test::fixture("exif1.jpg"), 3);
  CHECK(upright.width == 21);
  CHECK(upright.height == 13);
  const auto pixel = [](const Image& image, std::int64_t y, std::int64_t x) {
    return image.pixels[static_cast<std::size_t>((y * image.width + x) * 3)];
  };
  const Image right = read_image(test::fixture("exif6.jpg"), 3);  // the camera's top is the picture's right
  REQUIRE(right.width == 13);
  REQUIRE(right.height == 21);
  for (std::int64_t y = 0; y < right.height; ++y)
    for (std::int64_t x = 0; x < right.width; ++x)
      REQUIRE(pixel(right, y, x) == pixel(upright, 12 - x, y));
}

TEST_CASE("headers tell extents and grey without decoding") {
  const auto header = [](const char* name) {
    Bytes bytes = test::read_bytes(test::fixture(name));
    return image_header(bytes);
  };
  CHECK(header("grey.png").grey);
  CHECK(header("grey_alpha.png").grey);
  CHECK(header("grey.jpg").grey);
  CHECK_FALSE(header("palette.png").grey);
  CHECK_FALSE(header("rgb420.jpg").grey);
  CHECK(header("rgb.png").width == 11);
  CHECK(header("rgb.png").height == 7);
  CHECK(header("exif6.jpg").width == 13);
  CHECK(header("exif6.jpg").height == 21);
  CHECK(header("exif3.jpg").width == 21);
}

TEST_CASE("every file that is cut off is refused, wherever the cut is") {
  for (const char* name : {"rgb.png", "palette_clear.png", "rgb420.jpg", "progressive.jpg", "exif5.jpg"}) {
    const Bytes whole = test::read_bytes(test::fixture(name));
    CHECK_NOTHROW(decode_image(whole, 3));
    for (std::size_t length = 0; length < whole.size(); ++length) {
      CAPTURE(std::string(name));
      CAPTURE(length);
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      CHECK_THROWS_AS(decode_image(cut, 3), DataError);
    }
  }
}

TEST_CASE("a PNG with a flipped bit is refused; a JPEG with one never crashes") {
  const Bytes png = test::read_bytes(test::fixture("rgb.png"));
  for (std::size_t bit = 0; bit < png.size() * 8; ++bit) {
    CAPTURE(bit);
    Bytes bytes = png;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    CHECK_THROWS_AS(decode_image(bytes, 3), DataError);
  }
  const Bytes jpeg = test::read_bytes(test::fixture("exif5.jpg"));
  for (std::size_t bit = 0; bit < jpeg.size() * 8; ++bit) {
    Bytes bytes = jpeg;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    try {
      const Image image = decode_image(bytes, 3);
      CHECK(std::ssize(image.pixels) == image.width * image.height * 3);
    } catch (const DataError&) {
    }
  }
}

void check_message(const Bytes& bytes, const std::string& part) {
  try {
    decode_image(bytes, 3);
    FAIL("nothing was thrown");
  } catch (const DataError& error) {
    CAPTURE(std::string(error.what()));
    CHECK(std::string(error.what()).find(part) != std::string::npos);
  }
}

TEST_CASE("messages say what was found") {
  check_message({}, "no bytes");
  check_message({'G', 'I', 'F', '8', '9', 'a'}, "47 49 46 38");
  check_message(test::read_bytes(test::fixture("cmyk.jpg")), "CMYK");
  CHECK_THROWS_WITH_AS(read_image("/nowhere/at all.png", 3), doctest::Contains("/nowhere/at all.png"),
                       DataError);
  test::TemporaryFolder folder;
  test::write_bytes(folder / "text.jpg", Bytes{'h', 'e', 'l', 'l', 'o'});
  CHECK_THROWS_WITH_AS(read_image(folder / "text.jpg", 3), doctest::Contains("text.jpg"), DataError);
}

// CRC-32 of PNG, bit by bit.
std::uint32_t crc_of(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i)
      crc = crc >> 1 ^ (crc & 1u) * 0xEDB88320u;
  }
  return ~crc;
}

void put32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i)
    bytes[at + i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

// rgb.png with other extents in its header
Bytes resized_header(std::uint32_t width, std::uint32_t height) {
  Bytes bytes = test::read_bytes(test::fixture("rgb.png"));
  put32(bytes, 16, width);
  put32(bytes, 20, height);
  put32(bytes, 29, crc_of(std::span(bytes).subspan(12, 17)));
  return bytes;
}

// rgb.png with an eXIf chunk behind its header.
Bytes with_orientation(std::uint8_t orientation) {
  Bytes bytes = test::read_bytes(test::fixture("rgb.png"));
  Bytes chunk(12 + 26, 0);
  const Bytes tiff{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0};
  put32(chunk, 0, 26);
  std::copy_n("eXIf", 4, chunk.begin() + 4);
  std::copy(tiff.begin(), tiff.end(), chunk.begin() + 8);
  put32(chunk, 34, crc_of(std::span(chunk).subspan(4, 30)));
  bytes.insert(bytes.begin() + 33, chunk.begin(), chunk.end());
  return bytes;
}

TEST_CASE("a PNG is turned as its eXIf chunk says, and its header tells of it") {
  const Image upright = decode_image(test::read_bytes(test::fixture("rgb.png")), 3);
  for (std::uint8_t orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(int{orientation});
    const Bytes bytes = with_orientation(orientation);
    const Image image = decode_image(bytes, 3), expected = apply_orientation(upright, orientation);
    CHECK(image.pixels == expected.pixels);
    CHECK(image.width == expected.width);
    CHECK(image_header(bytes).width == expected.width);
    CHECK(image_header(bytes).height == expected.height);
  }
}

TEST_CASE("small files that claim to be huge are refused before memory is taken") {
  CHECK_NOTHROW(decode_image(resized_header(11, 7), 3));
  check_message(resized_header(16000, 8000), "cannot be in a file");
  check_message(resized_header(16000, 16000), "at most");
  CHECK_THROWS_AS(decode_image(resized_header(20000, 1), 3), DataError);
  CHECK_THROWS_AS(decode_image(resized_header(0, 7), 3), DataError);
  CHECK_THROWS_AS(decode_image(resized_header(11, 0x80000000u), 3), DataError);
}

}  // namespace
}  // namespace vitrail
