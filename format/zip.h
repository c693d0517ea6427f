#pragma once
// Zip archives as PyTorch and NumPy write them (APPNOTE.TXT 6.3; pytorch
// caffe2/serialize/inline_container.cc): stored and deflated entries, zip64. Stricter than most readers: an
// archive that could mean two things is refused.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/bytes.h"
#include "format/error.h"

namespace vitrail::format {

inline std::string_view text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// CRC-32 as in zip and PNG; `before` continues one. About 10 GB/s.
std::uint32_t crc32(Bytes bytes, std::uint32_t before = 0);

struct ZipEntry {
  std::string name;          // UTF-8
  bool deflated = false;     // else stored
  std::uint32_t crc = 0;     // of the content; 0 may mean that the writer gave none
  std::uint64_t size = 0;    // of the content
  std::uint64_t packed = 0;  // bytes in the archive
  std::uint64_t header = 0;  // where its local header stands
  std::uint64_t offset = 0;  // where its bytes stand
};

class ZipReader {
 public:
  static constexpr std::size_t kMaxEntries = std::size_t{1} << 20, kMaxName = 4096;

  // Of bytes that outlive it. Checks the directory, every local header and data descriptor against it, that
  // no two entries overlap or have one name, that none is encrypted or packed in another way, and that
  // nothing stands behind the end record; the contents' CRCs are left to check() and unpack(). Throws
  // FormatError.
  explicit ZipReader(Bytes archive);

  std::span<const ZipEntry> entries() const { return entries_; }  // in the order of their places
  const ZipEntry* find(std::string_view name) const;              // null when there is none

  Bytes stored(const ZipEntry& entry) const;  // a view; throws FormatError when the entry is deflated
  // Throws FormatError when the CRC of a stored entry is neither 0 nor that of its bytes.
  void check(const ZipEntry& entry) const;
  // The same of bytes that were read in another way.
  static void check(const ZipEntry& entry, std::uint32_t crc);
  // The content, its CRC checked. Throws FormatError also when it has more than `limit` bytes.
  std::vector<std::byte> unpack(const ZipEntry& entry, std::uint64_t limit) const;

 private:
  Bytes archive_;
  std::vector<ZipEntry> entries_;
  std::vector<std::uint32_t> by_name_;
};

// Writes as torch.save does, to the byte: stored entries whose contents begin at multiples of 64, data
// descriptors, zip64 where needed, no times.
class ZipWriter {
 public:
  static constexpr std::uint64_t kAlignment = 64;
  using Sink = std::function<void(Bytes)>;  // takes the archive from front to back

  // Without a sink nothing is read or written, but bytes() comes out the same.
  explicit ZipWriter(Sink sink = {}) : sink_(std::move(sink)) {}

  std::uint32_t add(std::string name, Bytes content);  // returns the CRC, 0 without a sink
  void finish();                                       // directory and end record
  std::uint64_t bytes() const { return at_; }          // written so far

 private:
  void put(Bytes bytes);

  Sink sink_;
  std::uint64_t at_ = 0;
  std::vector<ZipEntry> entries_;
};

}  // namespace vitrail::format
