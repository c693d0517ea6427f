#include "tests/cuda_emulation/fiber_stacks.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace cuda_emulation {
namespace {

constexpr std::uint64_t kCanary = 0x5EEDF1BE25AFE57Au;
constexpr std::size_t kStagger = 9 * 64;

}  // namespace

FiberStacks::FiberStacks()
    : memory_(static_cast<std::byte*>(mmap(nullptr, kMostThreads * kStackBytes, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
  if (memory_ == MAP_FAILED) throw std::bad_alloc();
  for (std::size_t thread = 0; thread < kMostThreads; ++thread)
    std::memcpy(memory_ + thread * kStackBytes, &kCanary, sizeof(kCanary));
}

FiberStacks::~FiberStacks() {
  munmap(memory_, kMostThreads * kStackBytes);
}

std::span<std::byte> FiberStacks::of(std::size_t thread) const {
  return {memory_ + thread * kStackBytes, kStackBytes - thread * kStagger % 4096};
}

bool FiberStacks::is_whole(std::size_t thread) const {
  return std::memcmp(memory_ + thread * kStackBytes, &kCanary, sizeof(kCanary)) == 0;
}

}  // namespace cuda_emulation
