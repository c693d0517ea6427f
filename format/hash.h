#pragma once
// XXH3, seed 0 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md).

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vitrail::format {

// Stored as two little-endian u64, low word first.
struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

std::uint64_t hash64(std::span<const std::byte> bytes);
Hash128 hash128(std::span<const std::byte> bytes);

// hash128 of bytes that come in parts. Holds its state in itself: nothing is allocated.
class Hasher128 {
 public:
  Hasher128();
  void add(std::span<const std::byte> bytes);
  Hash128 take();  // and begins anew

 private:
  alignas(64) std::byte state_[576];
};

std::string to_hex(const Hash128& hash);  // 32 digits, high word first

// Leaves of the hash tree cover this many bytes of a tensor.
constexpr std::uint64_t kChunkBytes = std::uint64_t{4} << 20;

}  // namespace vitrail::format
