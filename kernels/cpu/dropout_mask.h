#pragma once
// Dropout's mask (kernels/dropout.h) computed where it is needed. Included by files that are compiled once
// for each instruction set.

#include <cstdint>

#include "kernels/dropout.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr int kPhiloxLanes = 16;

// One round of philox4x32 (kernels/random.h) on one lane; the key moves on between rounds.
inline __attribute__((always_inline)) void philox_round(std::uint32_t (&word)[4], std::uint32_t key0,
                                                        std::uint32_t key1) {
  const std::uint64_t a = std::uint64_t{0xD2511F53} * word[0];
  const std::uint64_t b = std::uint64_t{0xCD9E8D57} * word[2];
  word[0] = static_cast<std::uint32_t>(b >> 32) ^ word[1] ^ key0;
  word[1] = static_cast<std::uint32_t>(b);
  word[2] = static_cast<std::uint32_t>(a >> 32) ^ word[3] ^ key1;
  word[3] = static_cast<std::uint32_t>(a);
}

// words[k][lane] = random4(key, sample, first_index + lane)[k]. Written out again beside kernels/random.h,
// one loop over lanes without a loop inside, because compilers make vectors of that; a test compares the two.
inline void philox_lanes(const RandomKey& key, std::uint32_t sample, std::uint32_t first_index,
                         std::uint32_t (&words)[4][kPhiloxLanes]) {
  constexpr std::uint32_t kAdd0 = 0x9E3779B9, kAdd1 = 0xBB67AE85;
  const std::uint32_t stream = static_cast<std::uint32_t>(key.purpose) << 16 | key.layer;
  const std::uint32_t step = key.step;
  const auto key0 = static_cast<std::uint32_t>(key.seed), key1 = static_cast<std::uint32_t>(key.seed >> 32);
  for (std::uint32_t lane = 0; lane < kPhiloxLanes; ++lane) {
    std::uint32_t word[4] = {first_index + lane, sample, step, stream};
    philox_round(word, key0, key1);
    philox_round(word, key0 + kAdd0, key1 + kAdd1);
    philox_round(word, key0 + 2 * kAdd0, key1 + 2 * kAdd1);
    philox_round(word, key0 + 3 * kAdd0, key1 + 3 * kAdd1);
    philox_round(word, key0 + 4 * kAdd0, key1 + 4 * kAdd1);
    philox_round(word, key0 + 5 * kAdd0, key1 + 5 * kAdd1);
    philox_round(word, key0 + 6 * kAdd0, key1 + 6 * kAdd1);
    philox_round(word, key0 + 7 * kAdd0, key1 + 7 * kAdd1);
    philox_round(word, key0 + 8 * kAdd0, key1 + 8 * kAdd1);
    philox_round(word, key0 + 9 * kAdd0, key1 + 9 * kAdd1);
    for (int k = 0; k < 4; ++k)
      words[k][lane] = word[k];
  }
}

// The multipliers of dropout: 0 for an element that is dropped, 1/(1 − rate) for one that is kept.
template <class T>
class DropoutMask {
 public:
  explicit DropoutMask(const Dropout& dropout)
      : dropout_(dropout),
        threshold_(static_cast<std::int32_t>(__builtin_ceil(dropout.rate * 0x1p24))),
        kept_(static_cast<T>(1 / (1 - dropout.rate))) {}

  bool on() const { return dropout_.rate > 0; }

  // mask[i] of elements [first, first + count) of the sample numbered `sample` from 0 in this micro-batch.
  // Works in groups of 64 elements from `first` on: a longer count wastes less.
  void fill(T* mask, std::int64_t sample, std::int64_t first, std::int64_t count) const {
    const std::uint32_t number = dropout_.first_sample + static_cast<std::uint32_t>(sample);
    const std::int64_t end = first + count;
    for (std::int64_t group = first / 4 * 4; group < end; group += kGroup) {
      T multipliers[kGroup];
      fill_group(multipliers, number, group);
      const std::int64_t from = group < first ? first : group;
      const std::int64_t to = group + kGroup < end ? group + kGroup : end;
      for (std::int64_t e = from; e < to; ++e)
        mask[e - first] = multipliers[e - group];
    }
  }

  // Element 0 of a sample: stochastic depth's one draw.
  T of_sample(std::int64_t sample) const {
    if (!on()) return T{1};
    T mask;
    fill(&mask, sample, 0, 1);
    return mask;
  }

 private:
  static constexpr std::int64_t kGroup = 4 * kPhiloxLanes;

  // Elements [group, group + kGroup); group is a multiple of 4.
  void fill_group(T* multipliers, std::uint32_t number, std::int64_t group) const {
    std::uint32_t words[4][kPhiloxLanes];
    philox_lanes(dropout_.key, number, static_cast<std::uint32_t>(group / 4), words);
    for (int lane = 0; lane < kPhiloxLanes; ++lane) {
      for (int k = 0; k < 4; ++k) {
        const auto bits = static_cast<std::int32_t>(words[k][lane] >> 8);
        multipliers[4 * lane + k] = bits < threshold_ ? T{0} : kept_;  // uniform() < rate
      }
    }
  }

  Dropout dropout_;
  std::int32_t threshold_;  // rate in units of 2^-24, rounded up
  T kept_;
};

}  // namespace vitrail::cpu::VITRAIL_ISA
