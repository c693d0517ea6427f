// The end records and the central directory, and the local headers beside it.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "format/utf8.h"
#include "format/zip.h"
#include "format/zip_records.h"

namespace vitrail::format {
namespace {

struct Directory {
  std::uint64_t offset = 0, bytes = 0, count = 0;
};

[[noreturn]] void fail(std::uint64_t at, const std::string& what) {
  throw FormatError(fmt::format("zip archive, byte {}: {}", at, what));
}

// The directory ends where the end records begin.
void require_place(const Directory& directory, std::uint64_t end) {
  if (!inside(directory.offset, directory.bytes, end) || directory.offset + directory.bytes != end)
    fail(end, fmt::format("the directory should end here, found {} bytes at {}", directory.bytes,
                          directory.offset));
  if (directory.count > ZipReader::kMaxEntries || directory.count > directory.bytes / zip::kCentralBytes)
    fail(end, fmt::format("{} entries do not fit a directory of {} bytes", directory.count, directory.bytes));
}

Directory find_directory_64(Bytes file, std::uint64_t locator, const Directory& classic) {
  const std::uint64_t at = get<std::uint64_t>(file, locator + 8);
  if (get<std::uint32_t>(file, locator + 4) != 0 || get<std::uint32_t>(file, locator + 16) > 1)
    fail(locator, "an archive of several disks");
  if (!inside(at, zip::kEnd64Bytes, locator) || get<std::uint32_t>(file, at) != zip::kEnd64 ||
      get<std::uint64_t>(file, at + 4) != locator - at - 12)
    fail(locator, fmt::format("expected a zip64 end record from byte {} to here", at));
  if (get<std::uint32_t>(file, at + 16) != 0 || get<std::uint32_t>(file, at + 20) != 0 ||
      get<std::uint64_t>(file, at + 24) != get<std::uint64_t>(file, at + 32))
    fail(at, "an archive of several disks");
  const Directory directory{get<std::uint64_t>(file, at + 48), get<std::uint64_t>(file, at + 40),
                            get<std::uint64_t>(file, at + 32)};
  const bool agree = (classic.count == directory.count || classic.count == zip::kSeeZip64Short) &&
                     (classic.bytes == directory.bytes || classic.bytes == zip::kSeeZip64) &&
                     (classic.offset == directory.offset || classic.offset == zip::kSeeZip64);
  if (!agree) fail(at, "the zip64 end record and the end record disagree");
  require_place(directory, at);
  return directory;
}

Directory find_directory(Bytes file) {
  if (file.size() < zip::kEndBytes || get<std::uint32_t>(file, file.size() - zip::kEndBytes) != zip::kEnd)
    throw FormatError(fmt::format(
        "expected a zip archive's end record in the last 22 of {} bytes, found none: is it whole?",
        file.size()));
  const std::uint64_t end = file.size() - zip::kEndBytes;
  const std::uint64_t count = get<std::uint16_t>(file, end + 10);
  if (get<std::uint16_t>(file, end + 20) != 0) fail(end, "a comment, which neither torch nor NumPy writes");
  if (get<std::uint16_t>(file, end + 4) != 0 || get<std::uint16_t>(file, end + 6) != 0 ||
      get<std::uint16_t>(file, end + 8) != count)
    fail(end, "an archive of several disks");
  const Directory classic{get<std::uint32_t>(file, end + 16), get<std::uint32_t>(file, end + 12), count};
  const bool wide =
      end >= zip::kLocatorBytes && get<std::uint32_t>(file, end - zip::kLocatorBytes) == zip::kLocator64;
  if (wide) return find_directory_64(file, end - zip::kLocatorBytes, classic);
  require_place(classic, end);
  return classic;
}

// The zip64 block among the extra fields; bytes that are no block (alignment tools leave some) end the
// search.
std::optional<Bytes> zip64_block(Bytes extra, std::uint64_t at) {
  std::optional<Bytes> found;
  while (extra.size() >= 4) {
    const std::size_t bytes = get<std::uint16_t>(extra, 2);
    if (bytes > extra.size() - 4) break;
    if (get<std::uint16_t>(extra, 0) == zip::kZip64Block) {
      if (found) fail(at, "two zip64 blocks");
      found = extra.subspan(4, bytes);
    }
    extra = extra.subspan(4 + bytes);
  }
  return found;
}

// Takes numbers that do not fit 32 bits from the zip64 block, in the block's order.
class Wide {
 public:
  Wide(Bytes extra, std::uint64_t at) : block_(zip64_block(extra, at)), at_(at) {}
  std::uint64_t resolve(std::uint32_t narrow) {
    if (narrow != zip::kSeeZip64) return narrow;
    if (!block_ || !inside(taken_, 8, block_->size()))
      fail(at_, "a number should be in a zip64 block and is not");
    taken_ += 8;
    return get<std::uint64_t>(*block_, taken_ - 8);
  }

 private:
  std::optional<Bytes> block_;
  std::uint64_t at_, taken_ = 0;
};

void require_readable(std::uint64_t at, const ZipEntry& entry, std::uint16_t flags, std::uint16_t method) {
  if ((flags & zip::kEncrypted) != 0) fail(at, fmt::format("'{}' is encrypted", entry.name));
  if ((flags & ~(zip::kFollows | zip::kUtf8 | zip::kDeflateEffort)) != 0)
    fail(at, fmt::format("'{}' has flags {:#06x}, which are not known", entry.name, flags));
  if (method != zip::kStored && method != zip::kDeflated)
    fail(at, fmt::format("'{}' is packed by method {}; stored (0) and deflated (8) are read", entry.name,
                         method));
  if (method == zip::kStored && entry.packed != entry.size)
    fail(at, fmt::format("'{}' is stored, yet has {} bytes in the archive and {} unpacked", entry.name,
                         entry.packed, entry.size));
}

struct Central {
  ZipEntry entry;
  std::uint16_t flags = 0, method = 0;
  std::uint64_t bytes = 0;
};

Central read_central(Bytes file, std::uint64_t at, std::uint64_t end) {
  if (!inside(at, zip::kCentralBytes, end) || get<std::uint32_t>(file, at) != zip::kCentral)
    fail(at, "expected an entry of the directory");
  const std::uint64_t name = get<std::uint16_t>(file, at + 28), extra = get<std::uint16_t>(file, at + 30),
                      comment = get<std::uint16_t>(file, at + 32);
  Central central{{},
                  get<std::uint16_t>(file, at + 8),
                  get<std::uint16_t>(file, at + 10),
                  zip::kCentralBytes + name + extra + comment};
  if (!inside(at, central.bytes, end)) fail(at, "an entry of the directory leaves it");
  const Bytes name_bytes = file.subspan(at + zip::kCentralBytes, name);
  if (name == 0 || name > ZipReader::kMaxName || !is_text(name_bytes))
    fail(at, "an entry's name should be 1 to 4096 bytes of UTF-8");
  ZipEntry& entry = central.entry;
  entry.name = text(name_bytes);
  Wide wide(file.subspan(at + zip::kCentralBytes + name, extra), at);
  entry.deflated = central.method == zip::kDeflated;
  entry.crc = get<std::uint32_t>(file, at + 16);
  entry.size = wide.resolve(get<std::uint32_t>(file, at + 24));
  entry.packed = wide.resolve(get<std::uint32_t>(file, at + 20));
  entry.header = wide.resolve(get<std::uint32_t>(file, at + 42));
  if (get<std::uint16_t>(file, at + 34) != 0) fail(at, "an archive of several disks");
  require_readable(at, entry, central.flags, central.method);
  return central;
}

// What the local header may say of a number: the same, or nothing when it follows the bytes.
bool agrees(std::uint64_t local, std::uint64_t central, bool follows) {
  return local == central || (follows && local == 0);
}

// Bytes of the data descriptor that stands at `at`.
std::uint64_t descriptor_bytes(Bytes file, std::uint64_t at, std::uint64_t end, const ZipEntry& entry) {
  if (inside(at, 16, end) && get<std::uint32_t>(file, at) == zip::kDescriptor &&
      get<std::uint32_t>(file, at + 4) == entry.crc) {
    if (get<std::uint32_t>(file, at + 8) == entry.packed && get<std::uint32_t>(file, at + 12) == entry.size)
      return 16;
    if (inside(at, 24, end) && get<std::uint64_t>(file, at + 8) == entry.packed &&
        get<std::uint64_t>(file, at + 16) == entry.size)
      return 24;
  }
  fail(at, fmt::format("the data descriptor of '{}' is missing or disagrees with the directory", entry.name));
}

// Fills in where the bytes stand; returns where the entry ends.
std::uint64_t read_local(Bytes file, std::uint64_t end, Central& central) {
  ZipEntry& entry = central.entry;
  const std::uint64_t at = entry.header;
  if (!inside(at, zip::kLocalBytes, end) || get<std::uint32_t>(file, at) != zip::kLocal)
    fail(at, fmt::format("expected the header of '{}'", entry.name));
  const std::uint64_t name = get<std::uint16_t>(file, at + 26), extra = get<std::uint16_t>(file, at + 28);
  if (!inside(at + zip::kLocalBytes, name + extra, end))
    fail(at, fmt::format("the header of '{}' leaves the archive", entry.name));
  const Bytes extra_bytes = file.subspan(at + zip::kLocalBytes + name, extra);
  Wide wide(extra_bytes, at);
  const bool follows = (central.flags & zip::kFollows) != 0;
  const std::uint32_t crc = get<std::uint32_t>(file, at + 14);
  const std::uint64_t size = wide.resolve(get<std::uint32_t>(file, at + 22)),
                      packed = wide.resolve(get<std::uint32_t>(file, at + 18));
  if (get<std::uint16_t>(file, at + 6) != central.flags ||
      get<std::uint16_t>(file, at + 8) != central.method ||
      text(file.subspan(at + zip::kLocalBytes, name)) != entry.name || !agrees(crc, entry.crc, follows) ||
      !agrees(size, entry.size, follows) || !agrees(packed, entry.packed, follows))
    fail(at, fmt::format("the header of '{}' and the directory disagree", entry.name));
  entry.offset = at + zip::kLocalBytes + name + extra;
  if (!inside(entry.offset, entry.packed, end))
    fail(at, fmt::format("'{}' has {} bytes, which leave the archive", entry.name, entry.packed));
  const std::uint64_t behind = entry.offset + entry.packed;
  return follows ? behind + descriptor_bytes(file, behind, end, entry) : behind;
}

}  // namespace

ZipReader::ZipReader(Bytes archive) : archive_(archive) {
  const Directory directory = find_directory(archive);
  const std::uint64_t end = directory.offset + directory.bytes;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;  // of the entries: begin, end
  std::uint64_t at = directory.offset;
  for (std::uint64_t i = 0; i < directory.count; ++i) {
    Central central = read_central(archive, at, end);
    at += central.bytes;
    const std::uint64_t behind = read_local(archive, directory.offset, central);
    extents.emplace_back(central.entry.header, behind);
    entries_.push_back(std::move(central.entry));
  }
  if (at != end) fail(at, "the directory has more bytes than its entries");
  std::ranges::sort(extents);
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].first < extents[i - 1].second) fail(extents[i].first, "two entries overlap");
  }
  std::ranges::sort(entries_, {}, &ZipEntry::header);
  by_name_.resize(entries_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0U);
  const auto name = [&](std::uint32_t i) -> const std::string& { return entries_[i].name; };
  std::ranges::sort(by_name_, {}, name);
  const auto twice = std::ranges::adjacent_find(by_name_, {}, name);
  if (twice != by_name_.end())
    fail(entries_[*twice].header, fmt::format("two entries are named '{}'", name(*twice)));
}

const ZipEntry* ZipReader::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(
      by_name_, name, {}, [&](std::uint32_t i) { return std::string_view(entries_[i].name); });
  return at != by_name_.end() && entries_[*at].name == name ? &entries_[*at] : nullptr;
}

}  // namespace vitrail::format
