#pragma once
// What tells one set of data from another.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vitrail {

// FNV-1a with 128 bits (Fowler, Noll, Vo; RFC 9923). It notices mistakes, not attacks.
class Fingerprint {
 public:
  void add(std::span<const std::uint8_t> bytes);
  void add(std::uint64_t number);   // as 8 bytes, the lowest first
  void add(std::string_view text);  // its length, then its bytes, so that neighbours cannot run together

  std::string hex() const;  // 32 digits, the highest first

 private:
  std::uint64_t high_ = 0x6C62272E07BB0142;
  std::uint64_t low_ = 0x62B821756295C58D;
};

}  // namespace vitrail
