#include "format/zip.h"

#include <fmt/format.h>
#include <libdeflate.h>

#include <array>
#include <memory>

#include "format/zip_records.h"

namespace vitrail::format {
namespace {

constexpr std::size_t kCachedContent = std::size_t{64} << 10;  // summed, then copied while it is in the cache
constexpr std::uint16_t kPaddingBlock = 0x4246;                // "FB"

// When torch's writer uses 64-bit numbers, which its readers count on.
bool is_wide(const ZipEntry& entry) {
  return entry.size >= zip::kSeeZip64 || entry.header >= zip::kSeeZip64;
}

std::uint32_t narrow(std::uint64_t value) {
  return value >= zip::kSeeZip64 ? zip::kSeeZip64 : static_cast<std::uint32_t>(value);
}

std::uint16_t flags_of(const ZipEntry& entry) {
  return entry.size > 0 ? zip::kUtf8 | zip::kFollows : zip::kUtf8;
}

void append_text(std::vector<std::byte>& to, const std::string& text) {
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  to.insert(to.end(), bytes, bytes + text.size());
}

// The zip64 block with those of the entry's numbers that need it; empty when none does.
std::vector<std::byte> wide_block(const ZipEntry& entry) {
  std::vector<std::byte> numbers, block;
  if (entry.size >= zip::kSeeZip64) {
    append<std::uint64_t>(numbers, entry.size);
    append<std::uint64_t>(numbers, entry.packed);
  }
  if (entry.header >= zip::kSeeZip64) append<std::uint64_t>(numbers, entry.header);
  if (numbers.empty()) return block;
  append<std::uint16_t>(block, zip::kZip64Block);
  append<std::uint16_t>(block, static_cast<std::uint16_t>(numbers.size()));
  block.insert(block.end(), numbers.begin(), numbers.end());
  return block;
}

std::vector<std::byte> local_header(const ZipEntry& entry) {
  const std::vector<std::byte> wide = wide_block(entry);
  const std::uint64_t start = entry.header + zip::kLocalBytes + entry.name.size() + wide.size() + 4;
  const std::uint64_t padding = align(start, ZipWriter::kAlignment) - start;
  std::vector<std::byte> header;
  append(header, zip::kLocal);
  append<std::uint16_t>(header, 0);  // version needed
  append(header, flags_of(entry));
  append(header, zip::kStored);
  for (int i = 0; i < 4; ++i)
    append<std::uint32_t>(header, 0);  // time and date, CRC, packed size, size
  append(header, static_cast<std::uint16_t>(entry.name.size()));
  append(header, static_cast<std::uint16_t>(wide.size() + 4 + padding));
  append_text(header, entry.name);
  header.insert(header.end(), wide.begin(), wide.end());
  append(header, kPaddingBlock);
  append(header, static_cast<std::uint16_t>(padding));
  header.resize(header.size() + padding, std::byte{'Z'});
  return header;
}

std::vector<std::byte> descriptor(const ZipEntry& entry) {
  std::vector<std::byte> record;
  append(record, zip::kDescriptor);
  append(record, entry.crc);
  for (const std::uint64_t size : {entry.packed, entry.size}) {
    if (is_wide(entry))
      append(record, size);
    else
      append(record, static_cast<std::uint32_t>(size));
  }
  return record;
}

void append_central(std::vector<std::byte>& to, const ZipEntry& entry) {
  const std::vector<std::byte> wide = wide_block(entry);
  append(to, zip::kCentral);
  append<std::uint32_t>(to, 0);  // versions
  append(to, flags_of(entry));
  append(to, zip::kStored);
  append<std::uint32_t>(to, 0);  // time and date
  append(to, entry.crc);
  append(to, narrow(entry.packed));
  append(to, narrow(entry.size));
  append(to, static_cast<std::uint16_t>(entry.name.size()));
  append(to, static_cast<std::uint16_t>(wide.size()));
  append<std::uint16_t>(to, 0);  // comment
  append<std::uint32_t>(to, 0);  // disk, internal attributes
  append<std::uint32_t>(to, 0);  // external attributes
  append(to, narrow(entry.header));
  append_text(to, entry.name);
  to.insert(to.end(), wide.begin(), wide.end());
}

void append_end(std::vector<std::byte>& to, std::uint64_t count, std::uint64_t offset) {
  const std::uint64_t bytes = to.size();
  append(to, zip::kEnd64);
  append<std::uint64_t>(to, zip::kEnd64Bytes - 12);
  append<std::uint16_t>(to, 0x031E);  // made by
  append<std::uint16_t>(to, 45);      // version needed
  append<std::uint64_t>(to, 0);       // disks
  append(to, count);
  append(to, count);
  append(to, bytes);
  append(to, offset);
  append(to, zip::kLocator64);
  append<std::uint32_t>(to, 0);
  append(to, offset + bytes);
  append<std::uint32_t>(to, 1);
  const auto short_count = static_cast<std::uint16_t>(std::min<std::uint64_t>(count, zip::kSeeZip64Short));
  append(to, zip::kEnd);
  append<std::uint32_t>(to, 0);
  append(to, short_count);
  append(to, short_count);
  append(to, narrow(bytes));
  append(to, narrow(offset));
  append<std::uint16_t>(to, 0);
}

}  // namespace

std::uint32_t crc32(Bytes bytes, std::uint32_t before) {
  return bytes.empty() ? before : libdeflate_crc32(before, bytes.data(), bytes.size());
}

Bytes ZipReader::stored(const ZipEntry& entry) const {
  if (entry.deflated)
    throw FormatError(fmt::format("zip archive: expected '{}' stored, found it compressed", entry.name));
  return archive_.subspan(entry.offset, entry.size);
}

void ZipReader::check(const ZipEntry& entry) const {
  if (entry.crc != 0) check(entry, crc32(stored(entry)));
}

void ZipReader::check(const ZipEntry& entry, std::uint32_t crc) {
  if (entry.crc == 0 || crc == entry.crc) return;
  throw FormatError(fmt::format("zip archive: '{}' at byte {} is damaged: expected CRC {:08x}, found {:08x}",
                                entry.name, entry.offset, entry.crc, crc));
}

std::vector<std::byte> ZipReader::unpack(const ZipEntry& entry, std::uint64_t limit) const {
  if (entry.size > limit)
    throw FormatError(fmt::format("zip archive: '{}' unpacks to {} bytes; at most {} are read", entry.name,
                                  entry.size, limit));
  // deflate makes at most 1032 bytes of one: what promises more is no reason to take the memory.
  if (entry.deflated && entry.size / 1032 > entry.packed)
    throw FormatError(
        fmt::format("zip archive: '{}' cannot unpack {} bytes to {}", entry.name, entry.packed, entry.size));
  const Bytes packed = archive_.subspan(entry.offset, entry.packed);
  std::vector<std::byte> content(entry.size);
  if (entry.deflated) {
    const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> machine(
        libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
    if (machine == nullptr) throw std::bad_alloc();
    std::size_t used = 0;
    const libdeflate_result result = libdeflate_deflate_decompress_ex(
        machine.get(), packed.data(), packed.size(), content.data(), content.size(), &used, nullptr);
    if (result != LIBDEFLATE_SUCCESS || used != packed.size())
      throw FormatError(fmt::format("zip archive: '{}' at byte {} is damaged: it does not unpack to {} bytes",
                                    entry.name, entry.offset, entry.size));
  } else {
    std::copy(packed.begin(), packed.end(), content.begin());
  }
  check(entry, crc32(content));
  return content;
}

void ZipWriter::put(Bytes bytes) {
  at_ += bytes.size();
  if (sink_) sink_(bytes);
}

std::uint32_t ZipWriter::add(std::string name, Bytes content) {
  ZipEntry entry;
  entry.name = std::move(name);
  entry.size = entry.packed = content.size();
  entry.header = at_;
  put(local_header(entry));
  for (std::size_t at = 0; sink_ && at < content.size(); at += kCachedContent) {
    const Bytes part = content.subspan(at, std::min(kCachedContent, content.size() - at));
    entry.crc = crc32(part, entry.crc);
    sink_(part);
  }
  at_ += content.size();
  if (entry.size > 0) put(descriptor(entry));
  entries_.push_back(std::move(entry));
  return entries_.back().crc;
}

void ZipWriter::finish() {
  std::vector<std::byte> directory;
  for (const ZipEntry& entry : entries_)
    append_central(directory, entry);
  append_end(directory, entries_.size(), at_);
  put(directory);
}

}  // namespace vitrail::format
