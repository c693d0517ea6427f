#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "format/file_system.h"
#include "format/write_queue.h"

namespace vitrail::format {
namespace {

// The system's calls say -1 and set errno; ours return -errno.
template <class T>
T result(T value) {
  return value < 0 ? static_cast<T>(-errno) : value;
}

int set_direct(int file, bool direct) {
  const int flags = ::fcntl(file, F_GETFL);
  if (flags < 0) return -errno;
  return result(::fcntl(file, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT));
}

class PosixFileSystem : public FileSystem {
 public:
  Handle create(const Path& path) override {
    return result(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  }

  int lock(Handle file) override {
    struct stat status {};
    if (::flock(file, LOCK_EX | LOCK_NB) != 0 || ::fstat(file, &status) != 0) return -errno;
    return status.st_nlink > 0 ? 0 : -ESTALE;
  }

  int remove_abandoned(const Path& path) override {
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return -errno;
    const bool removed = ::flock(file, LOCK_EX | LOCK_NB) == 0 && ::unlink(path.c_str()) == 0;
    const int reason = removed ? 0 : -errno;
    ::close(file);
    return reason;
  }

  int mode_of(const Path& path) override {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? static_cast<int>(status.st_mode) : -errno;
  }

  int set_mode(Handle file, int mode) override {
    return result(::fchmod(file, static_cast<mode_t>(mode) & 07777));
  }

  std::int64_t free_bytes(const Path& folder) override {
    struct statvfs status {};
    if (::statvfs(folder.c_str(), &status) != 0) return -errno;
    return static_cast<std::int64_t>(status.f_bavail * status.f_frsize);
  }

  // Where the file system knows no reservation, only the look at the free space remains.
  int reserve(Handle file, std::uint64_t bytes) override {
    if (::fallocate(file, 0, 0, static_cast<off_t>(bytes)) == 0) return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
  }

  std::int64_t write(Handle file, std::uint64_t offset, Bytes bytes) override {
    return result(::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset)));
  }

  std::int64_t read(Handle file, std::uint64_t offset, std::span<std::byte> bytes) override {
    return result(::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(offset)));
  }

  std::unique_ptr<WriteQueue> open_queue(Handle file, WriteMode mode, unsigned depth) override {
    if (mode == WriteMode::buffered) return thread_queue(file, mode, 1);
    if (set_direct(file, true) < 0) return nullptr;
    return mode == WriteMode::io_uring ? uring_queue(file, depth) : thread_queue(file, mode, depth);
  }

  int set_buffered(Handle file) override { return set_direct(file, false); }
  int sync(Handle file) override { return result(::fsync(file)); }
  int close(Handle file) override { return result(::close(file)); }

  int rename(const Path& from, const Path& to) override { return result(::rename(from.c_str(), to.c_str())); }

  int sync_folder(const Path& folder) override {
    const int file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0) return -errno;
    // Some file systems know no fsync for folders; there a rename is as durable as it gets.
    const bool done = ::fsync(file) == 0 || errno == EINVAL || errno == ENOTSUP;
    const int reason = done ? 0 : -errno;
    ::close(file);
    return reason;
  }

  int remove(const Path& path) override { return result(::unlink(path.c_str())); }

  std::vector<std::string> list(const Path& folder) override {
    std::vector<std::string> names;
    std::error_code error;
    const std::filesystem::directory_iterator end;
    for (std::filesystem::directory_iterator at(folder, error); !error && at != end; at.increment(error))
      names.push_back(at->path().filename().string());
    return names;
  }
};

}  // namespace

const char* name_of(WriteMode mode) {
  switch (mode) {
    case WriteMode::automatic:
      return "automatic";
    case WriteMode::io_uring:
      return "io_uring";
    case WriteMode::threads:
      return "threads";
    case WriteMode::buffered:
      return "buffered";
  }
  return "?";
}

FileSystem& real_file_system() {
  static PosixFileSystem instance;
  return instance;
}

}  // namespace vitrail::format
