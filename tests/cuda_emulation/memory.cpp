#include "tests/cuda_emulation/memory.h"

#include <sys/mman.h>

#include <cstring>
#include <deque>
#include <map>
#include <string>

#include "tests/cuda_emulation/fault.h"
#include "tests/cuda_emulation/signal_scope.h"

namespace cuda_emulation {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 256;  // of cudaMalloc
constexpr int kPoison = 0xFF;

std::size_t rounded_up(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

// pages: [closed page][guard bytes, data, guard bytes][closed page]
struct Allocation {
  std::byte* pages;
  std::size_t page_bytes;  // of the middle
  std::size_t bytes;       // of the data

  std::byte* data() const { return pages + page_bytes - rounded_up(bytes, kAlignment); }
  std::byte* end() const { return data() + bytes; }
  std::byte* pages_end() const { return pages + page_bytes; }
};

struct Memory {
  std::map<const std::byte*, Allocation> device;   // by their data
  std::map<const std::byte*, std::size_t> pinned;  // bytes, by address
  std::deque<Allocation> freed;                    // the last ones; their addresses stay closed
  std::size_t in_use = 0;
  int open = 0;
  SignalScope signals;
};

Memory& memory() {
  static Memory memory;
  return memory;
}

// The allocation that holds this address, or null.
const Allocation* find(const void* data) {
  const auto* address = static_cast<const std::byte*>(data);
  auto after = memory().device.upper_bound(address);
  if (after == memory().device.begin()) return nullptr;
  const Allocation& allocation = std::prev(after)->second;
  return address < allocation.end() ? &allocation : nullptr;
}

// Larger allocations stay open: changing their many pages for every copy would cost more than all kernels do.
constexpr std::size_t kLargestClosed = std::size_t{1} << 20;

bool was_freed(const void* data) {
  for (const Allocation& allocation : memory().freed)
    if (allocation.data() == data) return true;
  return false;
}

// Gives the memory back, but not the addresses: the next allocation would lie there, and a pointer to the old
// one would seem right.
void close_for_good(const Allocation& allocation) {
  constexpr std::size_t kMostFreed = 4096;
  mmap(allocation.pages, allocation.page_bytes, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  memory().freed.push_back(allocation);
  if (memory().freed.size() <= kMostFreed) return;
  const Allocation& oldest = memory().freed.front();
  munmap(oldest.pages - kPage, oldest.page_bytes + 2 * kPage);
  memory().freed.pop_front();
}

void set_access(int protection) {
  for (const auto& [data, allocation] : memory().device) {
    if (allocation.bytes <= kLargestClosed) mprotect(allocation.pages, allocation.page_bytes, protection);
  }
}

// Guards are NaN too, but each word its own: else what was read beside one allocation could be written beside
// another unseen.
std::byte guard_of(const std::byte* address) {
  const auto place = reinterpret_cast<std::uintptr_t>(address);
  const std::uint32_t word = 0xFFC00000u | (static_cast<std::uint32_t>(place / 4) & 0x3FFFFFu);
  return static_cast<std::byte>(word >> place % 4 * 8);
}

void set_guards(std::byte* begin, const std::byte* end) {
  for (; begin != end; ++begin)
    *begin = guard_of(begin);
}

bool guards_are_whole(const std::byte* begin, const std::byte* end) {
  for (; begin != end; ++begin) {
    if (*begin != guard_of(begin)) return false;
  }
  return true;
}

void check(const char* kernel, const Allocation& allocation) {
  const char* side = nullptr;
  if (!guards_are_whole(allocation.pages, allocation.data())) side = "before";
  if (!guards_are_whole(allocation.end(), allocation.pages_end())) side = "behind";
  if (side == nullptr) return;
  set_guards(allocation.pages, allocation.data());
  set_guards(allocation.end(), allocation.pages_end());
  throw Fault(std::string(kernel) + " wrote " + side + " an allocation of " +
              std::to_string(allocation.bytes) + " bytes of device memory");
}

}  // namespace

std::byte* allocate_device(std::size_t bytes) {
  if (bytes == 0 || bytes > kDeviceBytes - memory().in_use) return nullptr;
  const std::size_t middle = rounded_up(bytes, kPage);
  void* all =
      mmap(nullptr, middle + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  const Allocation allocation{static_cast<std::byte*>(all) + kPage, middle, bytes};
  mprotect(allocation.pages, middle, PROT_READ | PROT_WRITE);
  std::memset(allocation.data(), kPoison, bytes);
  set_guards(allocation.pages, allocation.data());
  set_guards(allocation.end(), allocation.pages_end());
  if (memory().open == 0 && bytes <= kLargestClosed) mprotect(allocation.pages, middle, PROT_NONE);
  memory().device[allocation.data()] = allocation;
  memory().in_use += bytes;
  return allocation.data();
}

void free_device(void* data) {
  const auto found = memory().device.find(static_cast<const std::byte*>(data));
  if (found == memory().device.end()) {
    throw Fault(std::string("cudaFree: not the beginning of an allocation of device memory") +
                (was_freed(data) ? ", but of one that was freed before" : ""));
  }
  const Allocation allocation = found->second;
  {
    const DeviceAccess access;
    check("an earlier kernel or copy", allocation);
  }
  memory().in_use -= allocation.bytes;
  memory().device.erase(found);
  close_for_good(allocation);
}

std::size_t device_bytes_in_use() {
  return memory().in_use;
}

std::byte* allocate_pinned(std::size_t bytes) {
  auto* data = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kPage}));
  std::memset(data, kPoison, bytes);
  memory().pinned[data] = bytes;
  return data;
}

void free_pinned(void* data) {
  if (memory().pinned.erase(static_cast<const std::byte*>(data)) == 0) {
    throw Fault("cudaFreeHost: not the beginning of pinned memory");
  }
  ::operator delete (data, std::align_val_t{kPage});
}

void register_pinned(void* data, std::size_t bytes) {
  memory().pinned[static_cast<const std::byte*>(data)] = bytes;
}

bool unregister_pinned(void* data) {
  return memory().pinned.erase(static_cast<const std::byte*>(data)) == 1;
}

bool is_pinned(const void* data, std::size_t bytes) {
  const auto* address = static_cast<const std::byte*>(data);
  auto after = memory().pinned.upper_bound(address);
  if (after == memory().pinned.begin()) return false;
  const auto& [begin, size] = *std::prev(after);
  return address + bytes <= begin + size;
}

bool is_device(const void* data) {
  return find(data) != nullptr;
}

bool holds_device(const void* data, std::size_t bytes) {
  const Allocation* allocation = find(data);
  return allocation != nullptr && static_cast<const std::byte*>(data) + bytes <= allocation->end();
}

void require_device(const char* what, const void* data, std::size_t bytes) {
  if (bytes == 0) return;
  const Allocation* allocation = find(data);
  if (allocation == nullptr) throw Fault(std::string(what) + ": the pointer is not one to device memory");
  const auto* begin = static_cast<const std::byte*>(data);
  const auto left = static_cast<std::size_t>(allocation->end() - begin);
  if (bytes <= left) return;
  throw Fault(std::string(what) + ": " + std::to_string(bytes) + " bytes, of which the last " +
              std::to_string(bytes - left) + " lie behind the end of the allocation");
}

void check_guards(const char* kernel) {
  for (const auto& [data, allocation] : memory().device)
    check(kernel, allocation);
}

void mend_guards() {
  for (const auto& [data, allocation] : memory().device) {
    set_guards(allocation.pages, allocation.data());
    set_guards(allocation.end(), allocation.pages_end());
  }
}

DeviceAccess::DeviceAccess() {
  if (memory().open++ > 0) return;
  set_access(PROT_READ | PROT_WRITE);
  memory().signals.begin();
}

DeviceAccess::~DeviceAccess() {
  if (--memory().open > 0) return;
  set_access(PROT_NONE);
  memory().signals.end();
}

}  // namespace cuda_emulation
