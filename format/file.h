#pragma once
// Files: mapped for reading, replaced durably and atomically for writing.

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "format/bytes.h"
#include "format/error.h"
#include "format/file_system.h"

namespace vitrail::format {

// The pages of a part of a file's mapping, and those that looking at it has mapped around it, leave this
// process's memory until they are looked at again. Bytes outside the mapping are left alone.
void release_pages(Bytes mapping, Bytes part);

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
  void release(Bytes part) const { release_pages(bytes(), part); }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

enum class Durability : std::uint8_t {
  durable,
  fast
};  // fast: atomic for readers, but not forced to the disk

// What was written cannot be trusted to be on the disk. Trying again on the same file may lie (Linux forgets
// which pages failed): only a new file, written from memory, helps.
class SyncError : public FileError {
 public:
  using FileError::FileError;
};

// The file system cannot rename, as some object stores cannot.
class RenameError : public FileError {
 public:
  using FileError::FileError;
};

// A new file that takes the place of `path` in one step: written beside it under a temporary name, forced to
// the disk, renamed, and the folder forced to the disk. Until commit() returns the old file stands untouched;
// without commit() the temporary file is removed. While it is written it is locked, and temporary files
// without a lock, left by a process that died, are removed first.
class AtomicFile {
 public:
  enum class Place : std::uint8_t {
    beside,
    direct  // under its own name, which must be free: for file systems that cannot rename
  };

  // Reserves `bytes` on the disk. Throws FileError, before anything is written, when they are not free or the
  // file could not take its place.
  AtomicFile(std::filesystem::path path, std::uint64_t bytes, Durability durability = Durability::durable,
             FileSystem& files = real_file_system(), Place place = Place::beside);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::uint64_t offset, Bytes bytes);
  // Forces what was written to the disk. Throws SyncError. commit() does it unless it was done.
  void sync();
  // Throws SyncError, RenameError, FileError.
  void commit();

  const std::filesystem::path& path() const { return path_; }
  FileSystem& files() { return files_; }
  FileSystem::Handle handle() const { return handle_; }
  [[noreturn]] void fail(const char* operation, std::int64_t result) const;  // throws FileError

 private:
  void create();
  void prepare(std::uint64_t bytes);
  void discard();

  FileSystem& files_;
  std::filesystem::path path_, temporary_;
  const Durability durability_;
  const Place place_;
  FileSystem::Handle handle_ = -1;
  bool synced_ = false;
};

// Throws FileError.
void replace_file(const std::filesystem::path& path, std::string_view content,
                  Durability durability = Durability::durable, FileSystem& files = real_file_system());

}  // namespace vitrail::format
