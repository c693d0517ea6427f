#include "format/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace vitrail::format {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* operation, int reason) {
  throw FileError(fmt::format("{}: cannot {}: {}", path.string(), operation, std::strerror(reason)));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int value() const { return value_; }

 private:
  int value_;
};

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// Beside the file, hidden, and never the same twice on one machine.
std::filesystem::path temporary_name(const std::filesystem::path& path) {
  const auto ticks = std::chrono::steady_clock::now().time_since_epoch().count();
  return folder_of(path) / fmt::format(".{}.tmp-{:x}-{:x}", path.filename().string(), ::getpid(), ticks);
}

void require_space(const std::filesystem::path& folder, std::uint64_t bytes) {
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0) fail(folder, "look for free space", errno);
  const std::uint64_t available = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (available < bytes) {
    throw FileError(fmt::format("{}: disk full: {} bytes are needed and {} are free ({} missing)",
                                folder.string(), bytes, available, bytes - available));
  }
}

void sync_folder(const std::filesystem::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.value() < 0) fail(folder, "open the folder", errno);
  // Some file systems know no fsync for folders; there a rename is as durable as it gets.
  if (::fsync(descriptor.value()) != 0 && errno != EINVAL && errno != ENOTSUP) fail(folder, "fsync", errno);
}

void write_all(int descriptor, const std::filesystem::path& path, std::uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const std::size_t piece = std::min<std::size_t>(bytes.size(), std::size_t{8} << 20);
    const ssize_t written = ::pwrite(descriptor, bytes.data(), piece, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "write", errno);
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void write_new(const std::filesystem::path& temporary, const std::filesystem::path& path, Bytes bytes) {
  const Descriptor descriptor(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (descriptor.value() < 0) fail(path, "create a file beside it", errno);
  write_all(descriptor.value(), path, 0, bytes);
}

// The mode of the file that is replaced, else what the umask leaves of 0666 (open did that).
void keep_mode(int descriptor, const std::filesystem::path& path) {
  struct stat old {};
  if (::stat(path.c_str(), &old) == 0) (void)!::fchmod(descriptor, old.st_mode & 07777);
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.value() < 0) fail(path, "open", errno);
  struct stat status {};
  if (::fstat(descriptor.value(), &status) != 0) fail(path, "read its size", errno);
  if (!S_ISREG(status.st_mode))
    throw FileError(path.string() + ": expected a file, found a folder or device");
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor.value(), 0);
  if (mapped == MAP_FAILED) fail(path, "map", errno);
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

AtomicFile::AtomicFile(std::filesystem::path path, std::uint64_t bytes)
    : path_(std::move(path)), temporary_(temporary_name(path_)) {
  require_space(folder_of(path_), bytes);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path_, "create a file beside it", errno);
  keep_mode(descriptor_, path_);
  const int reason = bytes == 0 ? 0 : ::posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes));
  if (reason == 0 || reason == EOPNOTSUPP || reason == EINVAL) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
  fail(path_, "reserve space", reason);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::uint64_t offset, Bytes bytes) {
  write_all(descriptor_, path_, offset, bytes);
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail(path_, "fsync", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, "rename into place", errno);
  ::close(std::exchange(descriptor_, -1));
  sync_folder(folder_of(path_));
}

void replace_file(const std::filesystem::path& path, std::string_view content, Durability durability) {
  const Bytes bytes = std::as_bytes(std::span(content.data(), content.size()));
  if (durability == Durability::durable) {
    AtomicFile file(path, bytes.size());
    file.write(0, bytes);
    return file.commit();
  }
  const std::filesystem::path temporary = temporary_name(path);
  try {
    write_new(temporary, path, bytes);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path, "rename into place", errno);
  } catch (const FileError&) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace vitrail::format
