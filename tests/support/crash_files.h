#pragma once
// A file system in memory that remembers everything done to it, and what the disk may hold after the power
// failed at any moment: data that was forced to the disk is there; of the rest, any sector of any write may
// be there or not, in any order, and so may any change of a folder that was not forced to the disk.

#include <cerrno>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "format/file_system.h"
#include "tests/support/format_file.h"

namespace vitrail::test {

// What a file system gets wrong on purpose: a harness that does not notice these is of no use.
enum class Lie { none, sync_does_nothing, folder_sync_does_nothing, sync_after_rename };

struct CrashConditions {
  Lie lie = Lie::none;
  bool first_sync_fails = false;  // and what it was to force to the disk may never get there, as with Linux
  bool can_rename = true;
};

class CrashFiles : public format::FileSystem {
 public:
  explicit CrashFiles(const CrashConditions& conditions = {}) : conditions_(conditions) {}

  // A file that is on the disk.
  void place(const Path& path, const ByteVector& bytes);
  // Events so far. The power can fail before and after each.
  std::size_t moments() const { return events_.size(); }
  // What may be found under `path` when the power fails after the first `moment` events; nothing: no file.
  // What was not forced to the disk is there with probability `keep`, data by sectors of `sector` bytes.
  std::optional<ByteVector> after_crash(const Path& path, std::size_t moment, std::size_t sector, double keep,
                                        std::mt19937_64& random) const;

  Handle create(const Path& path) override;
  int lock(Handle) override { return 0; }
  int remove_abandoned(const Path&) override { return -EWOULDBLOCK; }
  int mode_of(const Path& path) override { return names_.contains(path) ? 0100644 : -ENOENT; }
  int set_mode(Handle, int) override { return 0; }
  std::int64_t free_bytes(const Path&) override { return std::int64_t{1} << 40; }
  int reserve(Handle file, std::uint64_t bytes) override;
  std::int64_t write(Handle file, std::uint64_t offset, format::Bytes bytes) override;
  std::int64_t read(Handle, std::uint64_t, std::span<std::byte>) override { return -ENOSYS; }
  std::unique_ptr<format::WriteQueue> open_queue(Handle file, format::WriteMode mode,
                                                 unsigned depth) override;
  int set_buffered(Handle) override { return 0; }
  int sync(Handle file) override;
  int close(Handle) override { return 0; }
  int rename(const Path& from, const Path& to) override;
  int sync_folder(const Path& folder) override;
  int remove(const Path& path) override;
  std::vector<std::string> list(const Path&) override { return {}; }

 private:
  friend class CrashQueue;
  static constexpr std::size_t kNever = SIZE_MAX;
  static constexpr Handle kNoFile = -1;

  struct Event {
    enum class Kind { data, size, name, other } kind = Kind::other;
    Handle file = kNoFile;     // name: what `name` stands for from now on
    std::uint64_t offset = 0;  // size: the new one
    ByteVector bytes = {};
    Path name = {}, gone = {};     // name: `gone` goes in the same step
    bool finished = true;          // what is forced to the disk is what is finished by then
    std::size_t durable = kNever;  // the event from which it cannot be lost
  };
  std::size_t add(Event event);
  void force(Event::Kind kind, Handle file);
  Handle found(const Path& path, std::size_t moment, double keep, std::mt19937_64& random) const;

  const CrashConditions conditions_;
  bool sync_failed_ = false;
  Handle sync_later_ = kNoFile, files_ = 0;
  std::map<Path, Handle> names_;
  std::vector<Event> events_;
};

}  // namespace vitrail::test
