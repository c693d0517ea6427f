#include "format/hash.h"

#include <doctest/doctest.h>

#include <vector>

namespace vitrail::format {
namespace {

// The byte sequence of xxHash's own sanity check: the top byte of powers of a prime.
std::vector<std::byte> sanity_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  std::uint64_t state = 2654435761U;
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(state >> 56);
    state *= 11400714785074694797U;
  }
  return bytes;
}

struct Known64 {
  std::size_t bytes;
  std::uint64_t hash;
};

struct Known128 {
  std::size_t bytes;
  Hash128 hash;
};

// Published answers for seed 0 (xxHash, sanity_test_vectors.h), one or more for every class of lengths.
constexpr Known64 kKnown64[] = {
    {0, 0x2D06800538D394C2},    {1, 0xC44BDFF4074EECDB},    {6, 0x27B56A84CD2D7325},
    {12, 0xA713DAF0DFBB77E7},   {24, 0xA3FE70BF9D3510EB},   {48, 0x397DA259ECBA1F11},
    {80, 0xBCDEFBBB2C47C90A},   {195, 0xCD94217EE362EC3A},  {403, 0xCDEB804D65C6DEA4},
    {512, 0x617E49599013CB6B},  {2048, 0xDD59E2C3A5F038E0}, {2240, 0x6E73A90539CF2948},
    {2367, 0xCB37AEB9E5D361ED},
};
constexpr Known128 kKnown128[] = {
    {0, {0x6001C324468D497F, 0x99AA06D3014798D8}},    {1, {0xC44BDFF4074EECDB, 0xA6CD5E9392000F6A}},
    {6, {0x3E7039BDDA43CFC6, 0x082AFE0B8162D12A}},    {12, {0x061A192713F69AD9, 0x6E3EFD8FC7802B18}},
    {24, {0x1E7044D28B1B901D, 0x0CE966E4678D3761}},   {48, {0xF942219AED80F67B, 0xA002AC4E5478227E}},
    {81, {0x5E8BAFB9F95FB803, 0x4952F58181AB0042}},   {222, {0xF1AEBD597CEC6B3A, 0x337E09641B948717}},
    {403, {0xCDEB804D65C6DEA4, 0x1B6DE21E332DD73D}},  {512, {0x617E49599013CB6B, 0x18D2D110DCC9BCA1}},
    {2048, {0xDD59E2C3A5F038E0, 0xF736557FD47073A5}}, {2240, {0x6E73A90539CF2948, 0xCCB134FBFA7CE49D}},
    {2367, {0xCB37AEB9E5D361ED, 0xE89C0F6FF369B427}},
};

TEST_CASE("XXH3-64 gives the published answers") {
  for (const Known64& known : kKnown64) {
    CAPTURE(known.bytes);
    CHECK(hash64(sanity_bytes(known.bytes)) == known.hash);
  }
}

TEST_CASE("XXH3-128 gives the published answers") {
  for (const Known128& known : kKnown128) {
    CAPTURE(known.bytes);
    CHECK(hash128(sanity_bytes(known.bytes)) == known.hash);
  }
}

TEST_CASE("the text form is high word first, as xxh128sum prints it") {
  CHECK(to_hex(hash128({})) == "99aa06d3014798d86001c324468d497f");
  CHECK(to_hex(Hash128{1, 0}) == "00000000000000000000000000000001");
}

}  // namespace
}  // namespace vitrail::format
