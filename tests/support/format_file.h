#pragma once
// A small container written by hand from format/SPEC.md, number by number, and what it takes to damage it on
// purpose: the tests' own writer, which shares only the hash function with the program's.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "format/bytes.h"
#include "format/container.h"

namespace vitrail::test {

using ByteVector = std::vector<std::byte>;

// A growing sequence of little-endian numbers.
class ByteScript {
 public:
  ByteScript& u8(std::uint8_t value) { return number(value, 1); }
  ByteScript& u16(std::uint16_t value) { return number(value, 2); }
  ByteScript& u32(std::uint32_t value) { return number(value, 4); }
  ByteScript& u64(std::uint64_t value) { return number(value, 8); }
  ByteScript& hash(const format::Hash128& value) { return u64(value.low).u64(value.high); }
  ByteScript& text(std::string_view text);
  ByteScript& zeros_to(std::size_t size);  // appends zeros until the whole has `size` bytes
  // An object's header: kind, element type, count, stride, total bytes.
  ByteScript& object(std::uint16_t kind, std::uint16_t elem_type, std::uint32_t count, std::uint32_t stride,
                     std::uint32_t total);
  // A field: id, type, value.
  ByteScript& field(std::uint16_t id, std::uint8_t type, std::uint64_t value, std::uint8_t flags = 0);
  const ByteVector& bytes() const { return bytes_; }

 private:
  ByteScript& number(std::uint64_t value, int bytes);
  ByteVector bytes_;
};

// 8192 bytes of kind weights: parameter "a" = f32 (2) {1, −2}, parameter "b" = u8 (3) {1, 2, 3}, first moment
// "a" = f32 (2) {0.5, 0.25}; producer "tiny".
ByteVector tiny_file();
format::ContainerContents tiny_contents();  // the same to be written by the program; views static bytes

// Where things stand in tiny_file(), counted from the beginning of the file.
namespace tiny {
inline constexpr std::size_t kMeta = 128, kMetaBytes = 680, kProducer = kMeta + 96, kNames = kMeta + 120,
                             kTensors = kMeta + 152, kChunks = kMeta + 552, kRoles = kMeta + 568,
                             kMetaEnd = kMeta + kMetaBytes, kData = 4096, kB = 4160, kMoment = 4224,
                             kDataEnd = 4232, kFooter = 8128, kFileBytes = 8192;
inline constexpr std::size_t entry(std::size_t index) {
  return kTensors + 16 + 128 * index;
}
inline constexpr std::size_t field(std::size_t index) {
  return kMeta + 16 + 16 * index;
}
inline constexpr std::size_t role(std::size_t index) {
  return kRoles + 16 + 48 * index;
}
}  // namespace tiny

template <class T>
void patch(ByteVector& bytes, std::size_t offset, T value) {
  format::put(std::span<std::byte>(bytes), offset, value);
}

// Makes all checksums of head and footer right again, and the footer's copies equal to the prologue.
void seal(ByteVector& file);

// A container of kind weights with this metadata block and room for no tensor.
ByteVector file_with_metadata(const ByteVector& block);

// The code of the rule that refuses the bytes when they are opened and fully verified; "" when they pass,
// "-" when the error names no rule.
std::string refusal(const ByteVector& file);
std::string refusal_message(const ByteVector& file);
// Only opened.
std::string refusal_at_open(const ByteVector& file);

ByteVector file_bytes(const std::filesystem::path& path);
void write_plainly(const std::filesystem::path& path, format::Bytes bytes);

// A folder of its own, removed with everything in it.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& parent = std::filesystem::temp_directory_path());
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::vector<std::string> listing() const;  // names, sorted
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Where thousands of files can be forced to the disk in no time: memory, where the system has some.
std::filesystem::path fast_folder();

}  // namespace vitrail::test
