#include "engine/data/orientation.h"

#include <doctest/doctest.h>

#include "tests/support/data_files.h"

namespace vitrail {
namespace {

using test::Bytes;

// A JPEG's start with one EXIF segment: TIFF data with one directory entry.
struct Exif {
  bool big_endian = false;
  std::uint32_t tag = 0x0112, type = 3, count = 1, value = 6, version = 42, directory = 8, entries = 1;

  void put(Bytes& bytes, std::uint32_t number, int size) const {
    for (int i = 0; i < size; ++i)
      bytes.push_back(static_cast<std::uint8_t>(number >> 8 * (big_endian ? size - 1 - i : i)));
  }

  Bytes tiff() const {
    Bytes bytes(2, big_endian ? 'M' : 'I');
    put(bytes, version, 2);
    put(bytes, directory, 4);
    put(bytes, entries, 2);
    put(bytes, tag, 2);
    put(bytes, type, 2);
    put(bytes, count, 4);
    put(bytes, value, 2);
    put(bytes, 0, 2);
    return bytes;
  }

  Bytes jpeg(int length_error = 0) const {
    const Bytes data = tiff();
    const auto length = static_cast<std::uint32_t>(2 + 6 + std::ssize(data) + length_error);
    Bytes bytes{0xFF,
                0xD8,
                0xFF,
                0xE1,
                static_cast<std::uint8_t>(length >> 8),
                static_cast<std::uint8_t>(length),
                'E',
                'x',
                'i',
                'f',
                0,
                0};
    bytes.insert(bytes.end(), data.begin(), data.end());
    return bytes;
  }
};

TEST_CASE("both byte orders and all eight values are read") {
  for (const bool big_endian : {false, true})
    for (std::uint32_t value = 1; value <= 8; ++value)
      CHECK(read_orientation(Exif{.big_endian = big_endian, .value = value}.jpeg()) ==
            static_cast<int>(value));
}

TEST_CASE("damaged EXIF data are as none") {
  CHECK(read_orientation(Exif{.value = 0}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.value = 9}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.tag = 0x0113}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.type = 4}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.count = 2}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.version = 43}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.directory = 0xFFFFFFFF}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.directory = 20}.jpeg()) == 1);
  CHECK(read_orientation(Exif{.tag = 1, .entries = 0xFFFF}.jpeg()) == 1);
  CHECK(read_orientation(Exif{}.jpeg(1)) == 1);
  const Bytes whole = Exif{}.jpeg();
  for (std::size_t length = 0; length < whole.size(); ++length)
    CHECK(read_orientation(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))) == 1);
}

TEST_CASE("the tag is found behind other segments, and not behind the scan") {
  const Bytes exif = Exif{.value = 3}.jpeg();
  Bytes bytes{0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF};  // APP0, then a fill byte
  bytes.insert(bytes.end(), exif.begin() + 2, exif.end());
  CHECK(read_orientation(bytes) == 3);
  bytes[3] = 0xDA;
  CHECK(read_orientation(bytes) == 1);
}

}  // namespace
}  // namespace vitrail
