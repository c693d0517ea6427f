#pragma once
// bf16 by arithmetic on doubles, for tests: an oracle for what the kernels do with bits.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace vitrail::test {

// One rounding to bf16 moves a normal number by at most this share of itself: half a unit of the last of its
// 8 significant bits.
inline constexpr double kBf16Roundoff = 0x1p-8;

// The nearest bf16; of two equally near ones that with an even last bit.
inline double rounded_to_bf16(double value) {
  constexpr int kBits = 8, kLeastExponent = -133;  // of the last bit of subnormal numbers
  if (value == 0 || !std::isfinite(value)) return value;
  const int last_bit = std::max(std::ilogb(value) + 1 - kBits, kLeastExponent);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -last_bit)), last_bit);
  return std::abs(rounded) < 0x1p128 ? rounded : std::copysign(INFINITY, value);
}

inline std::vector<double> rounded_to_bf16(std::vector<double> values) {
  for (double& value : values)
    value = rounded_to_bf16(value);
  return values;
}

// The stored bits of a value, which is rounded first.
inline std::uint16_t bf16_bits(double value) {
  const auto single = static_cast<float>(rounded_to_bf16(value));
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(single) >> 16);
}

inline double bf16_value(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace vitrail::test
