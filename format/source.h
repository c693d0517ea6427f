#pragma once
// Where a container's bytes come from: memory, a file that is mapped, or a file that is read.

#include <filesystem>

#include "format/bytes.h"
#include "format/error.h"

namespace vitrail::format {

enum class Access : std::uint8_t {
  automatic,  // mapped; read on network file systems, where a mapping is slow and an error of the server a
              // crash
  map,
  read
};

class Source {
 public:
  Source() = default;
  explicit Source(Bytes bytes) : bytes_(bytes), size_(bytes.size()) {}  // which outlive it
  // Throws FileError when there is no file to read.
  Source(const std::filesystem::path& path, Access access);
  Source(Source&& other) noexcept;
  Source& operator=(Source&& other) noexcept;
  ~Source();

  std::uint64_t size() const { return size_; }
  bool on_disk() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }  // -1 when it is not on disk
  // Whether bytes() is all of the file; else it is empty.
  bool in_memory() const { return descriptor_ < 0 || mapped_; }
  Bytes bytes() const { return bytes_; }
  // Gives back the memory of a part of bytes() that will not be looked at soon.
  void release(Bytes part) const;
  // Copies a range that lies inside the file. Reads the file even when it is mapped. Throws FileError.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  void map();

  std::filesystem::path path_;
  int descriptor_ = -1;
  bool mapped_ = false;
  Bytes bytes_;
  std::uint64_t size_ = 0;
};

}  // namespace vitrail::format
