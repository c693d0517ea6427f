#include "engine/data/fingerprint.h"

#include <doctest/doctest.h>

#include <vector>

namespace vitrail {
namespace {

std::string hash_of(const std::vector<std::uint8_t>& bytes) {
  Fingerprint fingerprint;
  fingerprint.add(bytes);
  return fingerprint.hex();
}

// The last two from the definition, in Python's integers.
TEST_CASE("FNV-1a of known texts") {
  CHECK(hash_of({}) == "6c62272e07bb014262b821756295c58d");
  CHECK(hash_of({'a'}) == "d228cb696f1a8caf78912b704e4a8964");
  CHECK(hash_of({'f', 'o', 'o', 'b', 'a', 'r'}) == "343e1662793c64bf6f0d3597ba446f18");
  std::vector<std::uint8_t> all;
  for (int i = 0; i < 256; ++i)
    all.push_back(static_cast<std::uint8_t>(i));
  CHECK(hash_of(all) == "8097249afae7c21686b07bd6fa33708d");
}

TEST_CASE("texts that follow each other do not run together") {
  Fingerprint one, other;
  one.add("ab");
  one.add("c");
  other.add("a");
  other.add("bc");
  CHECK(one.hex() != other.hex());
}

}  // namespace
}  // namespace vitrail
