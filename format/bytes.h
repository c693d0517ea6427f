#pragma once
// Little-endian numbers in byte ranges. Every access is checked by the caller's bounds; align() is the one
// rounding.

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace vitrail::format {

static_assert(std::endian::native == std::endian::little,
              "the container is little-endian and so must the host be");

using Bytes = std::span<const std::byte>;

template <class T>
T get(Bytes bytes, std::uint64_t offset) {
  assert(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <class T>
void put(std::span<std::byte> bytes, std::uint64_t offset, T value) {
  assert(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

template <class T>
void append(std::vector<std::byte>& bytes, T value) {
  const std::size_t end = bytes.size();
  bytes.resize(end + sizeof(T));
  std::memcpy(bytes.data() + end, &value, sizeof(T));
}

// Whether [offset, offset + size) lies inside `total` bytes, without a sum that could wrap.
constexpr bool inside(std::uint64_t offset, std::uint64_t size, std::uint64_t total) {
  return offset <= total && size <= total - offset;
}

// The next multiple of a power of two; value must be far below 2^64, as all sizes of the format are.
constexpr std::uint64_t align(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace vitrail::format
