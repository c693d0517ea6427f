#include "kernels/random.h"

#include <doctest/doctest.h>

namespace vitrail::test {
namespace {

// Known answers of philox4x32-10, published with the Random123 library (kat_vectors; Salmon et al., SC 2011).
TEST_CASE("philox4x32: known answers") {
  constexpr std::uint32_t kOnes = 0xffffffff;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Random4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) ==
        Random4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Random4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random4: key and counter are laid out as documented") {
  const RandomKey key = {
      .seed = 0x299f31d0a4093822, .purpose = Purpose::attn_drop, .layer = 7, .step = 0x13198a2e};
  CHECK(random4(key, 0x85a308d3, 0x243f6a88) ==
        philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 6U << 16 | 7}, {0xa4093822, 0x299f31d0}));
}

TEST_CASE("uniform: [0, 1), 24 bits") {
  CHECK(uniform(0) == 0);
  CHECK(uniform(0x80000000) == 0.5);
  CHECK(uniform(0xffffffff) == 1 - 0x1p-24);
  CHECK(static_cast<double>(static_cast<float>(uniform(0xffffffff))) < 1);
}

}  // namespace
}  // namespace vitrail::test
