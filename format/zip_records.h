#pragma once
// The records of a zip archive, by APPNOTE.TXT 6.3, sections 4.3 and 4.5.

#include <cstdint>

namespace vitrail::format::zip {

inline constexpr std::uint32_t kLocal = 0x04034b50, kDescriptor = 0x08074b50, kCentral = 0x02014b50,
                               kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
inline constexpr std::uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                               kLocatorBytes = 20;
inline constexpr std::uint32_t kSeeZip64 = 0xFFFFFFFF;  // the number stands in the zip64 block
inline constexpr std::uint16_t kSeeZip64Short = 0xFFFF, kZip64Block = 1;
// Flags: sizes and CRC follow the bytes; the name is UTF-8; how hard deflate tried.
inline constexpr std::uint16_t kFollows = 1 << 3, kUtf8 = 1 << 11, kDeflateEffort = 3 << 1, kEncrypted = 1;
inline constexpr std::uint16_t kStored = 0, kDeflated = 8;

}  // namespace vitrail::format::zip
