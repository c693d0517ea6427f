#pragma once
// Where things stand in a container: what writer and reader share (SPEC.md, "File map", "Directory",
// "Placement").

#include <algorithm>
#include <span>

#include "format/bytes.h"
#include "format/hash.h"
#include "format/tensor_record.h"

namespace vitrail::format {

inline constexpr std::uint8_t kMagic[8] = {0x89, 'V', 'T', 'L', '\r', '\n', 0x1A, '\n'};
inline constexpr std::uint8_t kFooterMagic[8] = {'V', 'T', 'L', 'E', 'N', 'D', '\r', '\n'};
inline constexpr std::uint64_t kPrologueBytes = 128, kFooterBytes = 64, kPage = 4096;
inline constexpr std::uint64_t kEntryBytes = 128, kRoleBytes = 48, kHashBytes = 16;
inline constexpr std::uint64_t kMaxMetaBytes = std::uint64_t{256} << 20, kMaxTensors = 1 << 20;
inline constexpr std::uint64_t kMaxExtent = std::uint64_t{1} << 48, kMaxTensorBytes = std::uint64_t{1} << 50;
inline constexpr std::uint64_t kMaxChunks = 1 << 24;
inline constexpr std::size_t kMaxName = 1024, kMaxRank = 8;

// Large tensors begin on a page, small ones on a cache line.
constexpr std::uint64_t placed(std::uint64_t cursor, std::uint64_t bytes) {
  return align(cursor, bytes >= 65536 ? kPage : 64);
}

constexpr std::uint64_t chunk_count(std::uint64_t bytes) {
  return bytes <= kChunkBytes ? 0 : (bytes + kChunkBytes - 1) / kChunkBytes;
}

inline Bytes chunk(Bytes tensor, std::uint64_t index) {
  const std::uint64_t begin = index * kChunkBytes;
  return tensor.subspan(begin, std::min(kChunkBytes, tensor.size() - begin));
}

// Elements of a shape, or nothing when it breaks a limit of the format.
std::optional<std::uint64_t> element_count(std::span<const std::int64_t> shape);

// Bytes of a dense tensor, or nothing when the shape or type breaks a limit of the format.
std::optional<std::uint64_t> tensor_bytes(ElementType type, std::span<const std::int64_t> shape);

// What content_id is the hash of: appends one tensor's share.
void append_identity(std::vector<std::byte>& identity, const TensorRecord& tensor, const Hash128& hash);

// The hash of a list of hashes, as they stand in the file.
Hash128 hash_of(std::span<const Hash128> hashes);

}  // namespace vitrail::format
