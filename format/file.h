#pragma once
// Files: mapped for reading, replaced durably and atomically for writing.

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "format/bytes.h"
#include "format/error.h"

namespace vitrail::format {

// A file mapped read-only. The mapping stays valid when the object is moved and when the file is replaced by
// rename.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);  // throws FileError
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  Bytes bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// A new file that takes the place of `path` in one step: written beside it under a temporary name, forced to
// the disk, renamed, and the folder forced to the disk. Until commit() returns the old file stands untouched;
// without commit() the temporary file is removed.
class AtomicFile {
 public:
  // Reserves `bytes` on the disk. Throws FileError, before anything is written, when they are not free.
  AtomicFile(std::filesystem::path path, std::uint64_t bytes);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::uint64_t offset, Bytes bytes);
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

enum class Durability : std::uint8_t {
  durable,
  fast
};  // fast: atomic for readers, but not forced to the disk

void replace_file(const std::filesystem::path& path, std::string_view content,
                  Durability durability = Durability::durable);

}  // namespace vitrail::format
