#include "format/source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "format/file.h"

namespace vitrail::format {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* operation, int reason) {
  throw FileError(fmt::format("{}: cannot {}: {}", path.string(), operation, std::strerror(reason)));
}

// Magic numbers of statfs(2).
bool on_network(int descriptor) {
  struct statfs status {};
  if (::fstatfs(descriptor, &status) != 0) return false;
  constexpr std::uint32_t kNetwork[] = {
      0x6969,      // NFS
      0x517B,      // SMB
      0xFF534D42,  // CIFS
      0xFE534D42,  // SMB2
      0x65735546,  // FUSE
      0x00C36400,  // Ceph
      0x0BD00BD0,  // Lustre
      0x5346414F,  // AFS
      0x01021997,  // 9P
      0x47504653,  // GPFS
      0x19830326,  // BeeGFS
  };
  return std::find(std::begin(kNetwork), std::end(kNetwork), static_cast<std::uint32_t>(status.f_type)) !=
         std::end(kNetwork);
}

}  // namespace

Source::Source(const std::filesystem::path& path, Access access) : path_(path) {
  // Without O_NONBLOCK a FIFO would wait here for its writer.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail(path, "open", errno);
  Source owner(std::move(*this));  // closes the file when something throws
  struct stat status {};
  if (::fstat(owner.descriptor_, &status) != 0) fail(path, "read its size", errno);
  if (!S_ISREG(status.st_mode))
    throw FileError(path.string() + ": expected a file, found a folder or device");
  owner.size_ = static_cast<std::uint64_t>(status.st_size);
  if (access == Access::map || (access == Access::automatic && !on_network(owner.descriptor_))) owner.map();
  *this = std::move(owner);
}

void Source::map() {
  mapped_ = true;
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (mapped == MAP_FAILED) {
    mapped_ = false;
    fail(path_, "map", errno);
  }
  bytes_ = {static_cast<const std::byte*>(mapped), static_cast<std::size_t>(size_)};
}

Source::Source(Source&& other) noexcept {
  *this = std::move(other);
}

Source& Source::operator=(Source&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(mapped_, other.mapped_);
  std::swap(bytes_, other.bytes_);
  std::swap(size_, other.size_);
  return *this;
}

Source::~Source() {
  if (mapped_ && !bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Source::release(Bytes part) const {
  if (mapped_) release_pages(bytes_, part);
}

void Source::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (descriptor_ < 0) {
    const Bytes from = bytes_.subspan(offset, out.size());
    std::copy(from.begin(), from.end(), out.begin());
    return;
  }
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, "read", errno);
    if (got == 0) throw FileError(path_.string() + ": became shorter while it was read");
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace vitrail::format
