#pragma once
// Everything by which writing touches a disk, behind one interface: tests put file systems in its place that
// fail, stop or lose power at any call.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "format/bytes.h"

namespace vitrail::format {

// io_uring and threads write past the page cache (O_DIRECT). What the system refuses gives way to the next.
// automatic: io_uring, which needs the least of the processors; many containers refuse it.
enum class WriteMode : std::uint8_t { automatic, io_uring, threads, buffered };

const char* name_of(WriteMode mode);

// Writes of one file that are under way together. Results are those of the system's calls: a negative one is
// -errno. Destroying the queue waits for what is under way.
class WriteQueue {
 public:
  struct Done {
    std::uint64_t tag = 0;
    std::int64_t result = 0;  // bytes written, maybe fewer than asked for
  };
  virtual ~WriteQueue() = default;
  // Never io_uring or threads where the file refused to be written past the cache.
  virtual WriteMode mode() const = 0;
  // `bytes` must stay as they are until wait() reports `tag`.
  virtual int submit(std::uint64_t offset, Bytes bytes, std::uint64_t tag) = 0;
  // Blocks until one write is done; call it only while one is under way.
  virtual int wait(Done& done) = 0;
};

// Results as above: 0 or a value on success, -errno else. Calls that take a Handle may come from several
// threads.
class FileSystem {
 public:
  using Handle = int;
  using Path = std::filesystem::path;
  virtual ~FileSystem() = default;

  // A new file, -EEXIST when there is one; its mode is what the umask leaves of 0666.
  virtual Handle create(const Path& path) = 0;
  // The advisory lock that tells a file being written from one left behind. -ESTALE: the file has been
  // removed.
  virtual int lock(Handle file) = 0;
  // Removes a file that nobody has locked.
  virtual int remove_abandoned(const Path& path) = 0;
  virtual int mode_of(const Path& path) = 0;  // st_mode
  virtual int set_mode(Handle file, int mode) = 0;
  virtual std::int64_t free_bytes(const Path& folder) = 0;
  virtual int reserve(Handle file, std::uint64_t bytes) = 0;
  virtual std::int64_t write(Handle file, std::uint64_t offset, Bytes bytes) = 0;
  virtual std::int64_t read(Handle file, std::uint64_t offset, std::span<std::byte> bytes) = 0;
  // Null when the system does not offer `mode`, which is not automatic.
  virtual std::unique_ptr<WriteQueue> open_queue(Handle file, WriteMode mode, unsigned depth) = 0;
  // Back to the page cache, for what direct writes cannot do.
  virtual int set_buffered(Handle file) = 0;
  virtual int sync(Handle file) = 0;
  virtual int close(Handle file) = 0;
  virtual int rename(const Path& from, const Path& to) = 0;
  virtual int sync_folder(const Path& folder) = 0;
  virtual int remove(const Path& path) = 0;
  virtual std::vector<std::string> list(const Path& folder) = 0;  // nothing when it cannot be read
};

FileSystem& real_file_system();

}  // namespace vitrail::format
