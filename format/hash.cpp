#include "format/hash.h"

#include <fmt/format.h>
#define XXH_STATIC_LINKING_ONLY  // for the size of the state
#include <xxhash.h>

#include <new>

namespace vitrail::format {

std::uint64_t hash64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

Hash128 hash128(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

namespace {

XXH3_state_t* state_at(std::byte* memory) {
  return std::launder(reinterpret_cast<XXH3_state_t*>(memory));
}

}  // namespace

Hasher128::Hasher128() {
  static_assert(sizeof(XXH3_state_t) <= sizeof(state_) && alignof(XXH3_state_t) <= 64);
  XXH3_128bits_reset(new (state_) XXH3_state_t);
}

void Hasher128::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_at(state_), bytes.data(), bytes.size());
}

Hash128 Hasher128::take() {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_at(state_));
  XXH3_128bits_reset(state_at(state_));
  return {hash.low64, hash.high64};
}

std::string to_hex(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace vitrail::format
