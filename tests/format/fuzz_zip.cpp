// libFuzzer target (fuzz.cmake): zip archives. Besides success, only a FormatError may happen, and what is
// opened can be read to its last byte.

#include "format/zip.h"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vitrail::format;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 22;
  try {
    const ZipReader zip(std::as_bytes(std::span(data, size)));
    std::uint64_t packed = 0;
    for (const ZipEntry& entry : zip.entries()) {
      packed += entry.packed;
      if (zip.find(entry.name) != &entry) std::abort();
      try {
        if (!entry.deflated) zip.check(entry);
        if (zip.unpack(entry, kMost).size() != entry.size) std::abort();
      } catch (const FormatError&) {
      }
    }
    if (packed > size) std::abort();  // entries do not overlap
  } catch (const FormatError&) {
  }
  return 0;
}
