#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "format/file.h"

namespace vitrail::format {
namespace {

[[noreturn]] void refuse_mapping(const std::filesystem::path& path, const char* operation, int reason) {
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

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.value() < 0) refuse_mapping(path, "open", errno);
  struct stat status {};
  if (::fstat(descriptor.value(), &status) != 0) refuse_mapping(path, "read its size", errno);
  if (!S_ISREG(status.st_mode))
    throw FileError(path.string() + ": expected a file, found a folder or device");
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor.value(), 0);
  if (mapped == MAP_FAILED) refuse_mapping(path, "map", errno);
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void release_pages(Bytes mapping, Bytes part) {
  if (part.data() < mapping.data() || part.data() >= mapping.data() + mapping.size()) return;
  // Looking at a page maps those around it that the page cache holds in one piece, at most a large page, also
  // such as were released before.
  constexpr std::uintptr_t kAround = std::uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<std::uintptr_t>(mapping.data()), end = begin + mapping.size();
  const auto part_begin = reinterpret_cast<std::uintptr_t>(part.data()), part_end = part_begin + part.size();
  const std::uintptr_t first = std::max(part_begin / kAround * kAround, begin);
  const std::uintptr_t last = std::min((part_end + kAround - 1) / kAround * kAround, end);
  // Pages of a file that nobody writes to lose nothing: they are read again.
  (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace vitrail::format
