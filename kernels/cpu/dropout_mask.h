#pragma once
// The multipliers of dropout (kernels/dropout.h): 0 for a dropped element, 1 / (1 − rate) for one that is
// kept. Included by files that are compiled once for each instruction set.

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

// The smallest 24-bit number that is kept: uniform(bits) < rate exactly when bits >> 8 is below it.
inline std::int32_t dropout_threshold(double rate) {
  const double scaled = rate * 0x1p24;
  const auto whole = static_cast<std::int32_t>(scaled);
  return whole < scaled ? whole + 1 : whole;
}

// mask (count) = multipliers of elements [begin, begin + count) of one sample; `sample` counts inside the
// micro-batch. Any begin and count; a begin that is a multiple of 64 wastes nothing.
template <class T>
inline void dropout_mask(const Dropout& dropout, std::int64_t sample, std::int64_t begin, std::int64_t count,
                         T* mask) {
  constexpr std::int64_t kGroup = 4 * kPhiloxLanes;
  const std::int32_t threshold = dropout_threshold(dropout.rate);
  const T keep = static_cast<T>(1 / (1 - dropout.rate));
  const std::uint32_t step_sample = dropout.first_sample + static_cast<std::uint32_t>(sample);
  const std::int64_t end = begin + count;
  for (std::int64_t group = begin / 4 * 4; group < end; group += kGroup) {
    std::uint32_t words[4][kPhiloxLanes];
    philox_lanes(dropout.key, step_sample, static_cast<std::uint32_t>(group / 4), words);
    T multipliers[kGroup];
    for (int lane = 0; lane < kPhiloxLanes; ++lane) {
      for (int k = 0; k < 4; ++k) {
        const auto number = static_cast<std::int32_t>(words[k][lane] >> 8);
        multipliers[4 * lane + k] = number < threshold ? T{0} : keep;
      }
    }
    const std::int64_t from = group < begin ? begin : group;
    const std::int64_t to = group + kGroup < end ? group + kGroup : end;
    for (std::int64_t e = from; e < to; ++e)
      mask[e - begin] = multipliers[e - group];
  }
}

// The multiplier of a whole sample (stochastic depth): that of its element 0.
template <class T>
inline T path_multiplier(const Dropout& drop_path, std::int64_t sample) {
  if (drop_path.rate == 0) return T{1};
  T multiplier;
  dropout_mask(drop_path, sample, 0, 1, &multiplier);
  return multiplier;
}

}  // namespace vitrail::cpu::VITRAIL_ISA
