#pragma once
// A file read in parts by several threads, each of them front to back: out of the page cache where that holds
// the part, else past it. Reading 1 GB through the cache costs about as much of a processor as hashing it,
// and would push out what is needed again.

#include "format/source.h"

namespace vitrail::format {

// A source's file, opened once more for reads past the page cache where the file system has such.
class DirectFile {
 public:
  explicit DirectFile(const Source& source);
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;
  ~DirectFile();

  // Whether the page cache holds less than all of a range. Never where the kernel does not tell (of files
  // that are not ours), or where there are no direct reads.
  bool worthwhile(std::uint64_t offset, std::uint64_t bytes) const;
  // Whole pages from a whole page of the file on, into whole pages; fewer bytes where the file ends. Nothing
  // when that cannot be: an ordinary read will say why.
  std::size_t read(std::uint64_t offset, std::span<std::byte> to) const;

 private:
  int descriptor_ = -1;
};

// For one thread.
class PartReader {
 public:
  // `memory`: whole pages, of which all that is handed out is a view, unless the source is in memory and not
  // of a file. All three outlive it.
  PartReader(const Source& source, const DirectFile& direct, std::span<std::byte> memory);

  // The next bytes to be asked for lie in this range of the file.
  void begin(std::uint64_t offset, std::uint64_t end);
  // At least one and at most `most` bytes from `offset` on, valid until the next call. Offsets do not go
  // back. Throws FileError.
  Bytes some(std::uint64_t offset, std::uint64_t most);

 private:
  Bytes in_window(std::uint64_t offset, std::uint64_t most) const;

  const Source& source_;
  const DirectFile& direct_;
  const std::span<std::byte> memory_;
  bool past_cache_ = false;
  std::uint64_t end_ = 0;
  std::uint64_t window_begin_ = 0, window_end_ = 0;  // of the file, in memory_
};

}  // namespace vitrail::format
