#include "engine/data/fingerprint.h"

#include <fmt/format.h>

#include <array>

namespace vitrail {

// h = (h ⊕ byte)·p mod 2^128,   p = 2^88 + 315
void Fingerprint::add(std::span<const std::uint8_t> bytes) {
  constexpr std::uint64_t kLowPrime = 315;
  std::uint64_t high = high_, low = low_;
  for (const std::uint8_t byte : bytes) {
    low ^= byte;
    const std::uint64_t bottom = (low & 0xFFFFFFFF) * kLowPrime;
    const std::uint64_t middle = (low >> 32) * kLowPrime + (bottom >> 32);
    high = high * kLowPrime + (middle >> 32) + (low << 24);
    low = middle << 32 | (bottom & 0xFFFFFFFF);
  }
  high_ = high;
  low_ = low;
}

void Fingerprint::add(std::uint64_t number) {
  std::array<std::uint8_t, 8> bytes{};
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(number);
    number >>= 8;
  }
  add(bytes);
}

void Fingerprint::add(std::string_view text) {
  add(std::uint64_t{text.size()});
  add(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

std::string Fingerprint::hex() const {
  return fmt::format("{:016x}{:016x}", high_, low_);
}

}  // namespace vitrail
