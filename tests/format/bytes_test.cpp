#include "format/bytes.h"

#include <doctest/doctest.h>

#include <limits>

namespace vitrail::format {
namespace {

TEST_CASE("numbers are little-endian at any alignment") {
  std::vector<std::byte> bytes;
  append(bytes, std::uint8_t{0xAA});
  append(bytes, std::uint32_t{0x01020304});
  append(bytes, 1.0);
  REQUIRE(bytes.size() == 13);
  CHECK(bytes[1] == std::byte{4});
  CHECK(bytes[4] == std::byte{1});
  CHECK(bytes[12] == std::byte{0x3F});  // sign and exponent of 1.0 = 0x3FF0…
  CHECK(get<std::uint32_t>(bytes, 1) == 0x01020304);
  put(std::span<std::byte>(bytes), 1, std::uint16_t{0xBEEF});
  CHECK(get<std::uint32_t>(bytes, 1) == 0x0102BEEF);
}

TEST_CASE("inside() holds for huge numbers, whose sum would wrap") {
  constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();
  CHECK(inside(0, 0, 0));
  CHECK(inside(3, 5, 8));
  CHECK(inside(8, 0, 8));
  CHECK_FALSE(inside(3, 6, 8));
  CHECK_FALSE(inside(9, 0, 8));
  CHECK_FALSE(inside(2, kHuge, 8));
  CHECK_FALSE(inside(kHuge, 2, 8));
}

TEST_CASE("align() gives the next multiple") {
  CHECK(align(0, 64) == 0);
  CHECK(align(1, 64) == 64);
  CHECK(align(64, 64) == 64);
  CHECK(align(4097, 4096) == 8192);
}

}  // namespace
}  // namespace vitrail::format
