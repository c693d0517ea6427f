#pragma once
// gzip (RFC 1952) through zlib, into a size that is known before.

#include <cstdint>
#include <span>
#include <vector>

namespace vitrail {

bool is_gzip(std::span<const std::uint8_t> bytes);

// The first `size` bytes of what is packed in `bytes`; fewer when there are no more.
std::vector<std::uint8_t> gunzip_head(std::span<const std::uint8_t> bytes, std::size_t size);

// All that is packed, which must be exactly `size` bytes in one member with nothing behind it. Throws
// DataError when it is not, and when the data are damaged or cut off. Takes no more memory than 1032 times
// the file.
std::vector<std::uint8_t> gunzip(std::span<const std::uint8_t> bytes, std::size_t size);

}  // namespace vitrail
