#include "format/part_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "format/layout.h"

namespace vitrail::format {
namespace {

constexpr std::size_t kCachedWindow = std::size_t{256}
                                      << 10;  // copied, then used while it is in the second-level cache

bool all_cached(const void* mapped, std::uint64_t bytes) {
  std::array<unsigned char, 128> pages{};
  const auto* at = static_cast<const std::byte*>(mapped);
  while (bytes > 0) {
    const std::uint64_t part = std::min<std::uint64_t>(bytes, pages.size() * kPage);
    if (::mincore(const_cast<std::byte*>(at), part, pages.data()) != 0) return true;
    const auto count = static_cast<std::ptrdiff_t>(align(part, kPage) / kPage);
    if (!std::all_of(pages.begin(), pages.begin() + count,
                     [](unsigned char page) { return (page & 1) != 0; }))
      return false;
    at += part;
    bytes -= part;
  }
  return true;
}

}  // namespace

DirectFile::DirectFile(const Source& source) {
  if (!source.on_disk()) return;
  // By the descriptor, not the name: another file may have that by now.
  descriptor_ =
      ::open(fmt::format("/proc/self/fd/{}", source.descriptor()).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
}

DirectFile::~DirectFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool DirectFile::worthwhile(std::uint64_t offset, std::uint64_t bytes) const {
  if (descriptor_ < 0 || bytes == 0) return false;
  const std::uint64_t begin = offset / kPage * kPage, size = offset + bytes - begin;
  void* mapped =
      ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor_, static_cast<off_t>(begin));  // never touched
  if (mapped == MAP_FAILED) return false;
  const bool cached = all_cached(mapped, size);
  ::munmap(mapped, size);
  return !cached;
}

std::size_t DirectFile::read(std::uint64_t offset, std::span<std::byte> to) const {
  ssize_t got = -1;
  do {
    got = ::pread(descriptor_, to.data(), to.size(), static_cast<off_t>(offset));
  } while (got < 0 && errno == EINTR);
  return got < 0 ? 0 : static_cast<std::size_t>(got);
}

PartReader::PartReader(const Source& source, const DirectFile& direct, std::span<std::byte> memory)
    : source_(source), direct_(direct), memory_(memory) {}

void PartReader::begin(std::uint64_t offset, std::uint64_t end) {
  end_ = end;
  window_begin_ = window_end_ = offset;
  past_cache_ = direct_.worthwhile(offset, end - offset);
}

Bytes PartReader::in_window(std::uint64_t offset, std::uint64_t most) const {
  if (offset < window_begin_ || offset >= window_end_) return {};
  return Bytes(memory_).subspan(offset - window_begin_, std::min(most, window_end_ - offset));
}

Bytes PartReader::some(std::uint64_t offset, std::uint64_t most) {
  if (!source_.on_disk()) return source_.bytes().subspan(offset, most);
  if (const Bytes there = in_window(offset, most); !there.empty()) return there;
  if (past_cache_) {
    window_begin_ = offset / kPage * kPage;
    const std::uint64_t bytes = std::min<std::uint64_t>(memory_.size(), align(end_ - window_begin_, kPage));
    window_end_ = window_begin_ + direct_.read(window_begin_, memory_.first(bytes));
    if (const Bytes there = in_window(offset, most); !there.empty()) return there;
    past_cache_ = false;
  }
  window_begin_ = offset;
  window_end_ =
      offset + std::min({end_ - offset, std::uint64_t{memory_.size()}, std::uint64_t{kCachedWindow}});
  source_.read(offset, memory_.first(window_end_ - offset));
  return in_window(offset, most);
}

}  // namespace vitrail::format
