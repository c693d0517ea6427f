#pragma once
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011). A number is a pure function of key and counter: there is no hidden state, so any thread or device
// can compute any number, and resuming a run needs no generator to be restored.

#include <array>
#include <cstdint>

namespace vitrail {

// What a stream of numbers is for. Values are part of what makes runs repeatable: append, never renumber.
enum class Purpose : std::uint32_t {
  init = 1,
  shuffle = 2,
  augment = 3,
  drop_path = 4,
  pos_drop = 5,
  attn_drop = 6,
  proj_drop = 7,
  mlp_drop = 8,
  mlp_out_drop = 9,
  head_drop = 10,
  replace = 11,
  split = 12,
};

// key = seed; counter = (index, sample, step, purpose and layer). Layer is below 2^16.
struct RandomKey {
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::init;
  std::uint32_t layer = 0;
  std::uint32_t step = 0;
};

using Random4 = std::array<std::uint32_t, 4>;

constexpr Random4 philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

// Four numbers, uniform over all 32-bit values, for block `index` of sample `sample`.
constexpr Random4 random4(const RandomKey& key, std::uint32_t sample, std::uint32_t index) {
  const std::uint32_t stream = static_cast<std::uint32_t>(key.purpose) << 16 | key.layer;
  return philox4x32({index, sample, key.step, stream},
                    {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)});
}

// [0, 1) with 24 bits: exact in float.
constexpr double uniform(std::uint32_t bits) {
  return (bits >> 8) * 0x1p-24;
}

}  // namespace vitrail
