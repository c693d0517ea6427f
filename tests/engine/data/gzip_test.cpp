#include "engine/data/gzip.h"

#include <doctest/doctest.h>

#include "engine/error.h"
#include "tests/support/data_files.h"

namespace vitrail {
namespace {

using test::Bytes;

// "hello hello hello hello\n" by `gzip -n -9`.
const Bytes kText{'h', 'e', 'l', 'l', 'o', ' ', 'h', 'e', 'l', 'l', 'o', ' ',
                  'h', 'e', 'l', 'l', 'o', ' ', 'h', 'e', 'l', 'l', 'o', '\n'};
const Bytes kPacked{0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9,
                    0x57, 0xc8, 0x40, 0x27, 0xb9, 0x00, 0x00, 0x88, 0x59, 0x0b, 0x18, 0x00, 0x00, 0x00};

TEST_CASE("what gzip packed is unpacked") {
  CHECK(is_gzip(kPacked));
  CHECK_FALSE(is_gzip(kText));
  CHECK(gunzip(kPacked, kText.size()) == kText);
  CHECK(gunzip_head(kPacked, 5) == Bytes(kText.begin(), kText.begin() + 5));
  CHECK(gunzip_head(kPacked, 1000) == kText);
}

TEST_CASE("more or less than announced is refused, and so is anything behind it") {
  CHECK_THROWS_WITH_AS(gunzip(kPacked, kText.size() - 1), doctest::Contains("more"), DataError);
  CHECK_THROWS_WITH_AS(gunzip(kPacked, kText.size() + 1), doctest::Contains("found 24"), DataError);
  CHECK_THROWS_WITH_AS(gunzip(kPacked, std::size_t{1} << 40), doctest::Contains("cannot be packed"),
                       DataError);
  Bytes longer = kPacked;
  longer.push_back(0);
  CHECK_THROWS_WITH_AS(gunzip(longer, kText.size()), doctest::Contains("behind the end"), DataError);
}

TEST_CASE("every cut is refused, and every flipped bit but those of the header that say nothing") {
  for (std::size_t length = 0; length < kPacked.size(); ++length) {
    const Bytes cut(kPacked.begin(), kPacked.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK_THROWS_AS(gunzip(cut, kText.size()), DataError);
  }
  for (std::size_t bit = 10 * 8; bit < kPacked.size() * 8; ++bit) {  // the header has 10 bytes
    Bytes bytes = kPacked;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    CAPTURE(bit);
    CHECK_THROWS_AS(gunzip(bytes, kText.size()), DataError);
  }
}

}  // namespace
}  // namespace vitrail
