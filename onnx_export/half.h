#pragma once
// IEEE binary16.

#include <bit>
#include <cstdint>

namespace vitrail::onnx_export {

inline constexpr float kLargestHalf = 65504.0f;

// Rounded to nearest, ties to even; beyond the range infinity.
inline std::uint16_t to_half(float number) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(number);
  const std::uint32_t sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
  if (size >= 0x47800000u) return static_cast<std::uint16_t>(sign | (size > 0x7f800000u ? 0x7e00u : 0x7c00u));
  if (size < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the subnormal's digits at the end
    const std::uint32_t digits = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + 0.5f);
    return static_cast<std::uint16_t>(sign | (digits - 0x3f000000u));
  }
  return static_cast<std::uint16_t>(sign | ((size + 0xc8000fffu + ((size >> 13) & 1u)) >> 13));
}

}  // namespace vitrail::onnx_export
