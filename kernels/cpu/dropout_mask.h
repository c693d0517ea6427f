#pragma once
// Dropout's mask (kernels/dropout.h) computed where it is needed. Included by files that are compiled once
// for each instruction set.

#include <cstdint>

#include "kernels/dropout.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr int kPhiloxLanes = 16;

// words[k][lane] = random4(key, sample, first_index + lane)[k]. Written out again beside kernels/random.h so
// that the lanes become vectors; a test compares the two.
inline void philox_lanes(const RandomKey& key, std::uint32_t sample, std::uint32_t first_index,
                         std::uint32_t (&words)[4][kPhiloxLanes]) {
  const std::uint32_t stream = static_cast<std::uint32_t>(key.purpose) << 16 | key.layer;
  for (int lane = 0; lane < kPhiloxLanes; ++lane) {
    words[0][lane] = first_index + static_cast<std::uint32_t>(lane);
    words[1][lane] = sample;
    words[2][lane] = key.step;
    words[3][lane] = stream;
  }
  std::uint32_t key0 = static_cast<std::uint32_t>(key.seed);
  std::uint32_t key1 = static_cast<std::uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int lane = 0; lane < kPhiloxLanes; ++lane) {
      const std::uint64_t a = std::uint64_t{0xD2511F53} * words[0][lane];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57} * words[2][lane];
      words[0][lane] = static_cast<std::uint32_t>(b >> 32) ^ words[1][lane] ^ key0;
      words[1][lane] = static_cast<std::uint32_t>(b);
      words[2][lane] = static_cast<std::uint32_t>(a >> 32) ^ words[3][lane] ^ key1;
      words[3][lane] = static_cast<std::uint32_t>(a);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
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
