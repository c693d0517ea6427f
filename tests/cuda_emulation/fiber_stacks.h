#pragma once
// Stacks of fibers, made once and used again for every block.

#include <cstddef>
#include <cstdint>
#include <span>

namespace cuda_emulation {

inline constexpr std::size_t kMostThreads = 1024;  // of a block
inline constexpr std::size_t kStackBytes = 64 * 1024;

class FiberStacks {
 public:
  FiberStacks();
  ~FiberStacks();
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  // The memory of one stack. Stacks begin at different places of a page, so that their warm ends do not all
  // fall on the same lines of the first cache.
  std::span<std::byte> of(std::size_t thread) const;
  bool is_whole(std::size_t thread) const;  // its lowest bytes were not reached

 private:
  std::byte* memory_;
};

}  // namespace cuda_emulation
