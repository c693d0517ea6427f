#include "kernels/cpu/pages.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace vitrail::cpu {

std::byte* allocate_pages(std::size_t bytes) {
  constexpr std::size_t kPage = 4096, kHugePage = std::size_t{2} << 20;
  void* data = nullptr;
  if (::posix_memalign(&data, bytes >= kHugePage ? kHugePage : kPage, bytes) != 0) throw std::bad_alloc();
  if (bytes >= kHugePage) (void)::madvise(data, bytes, MADV_HUGEPAGE);  // a hint; small pages do as well
  return static_cast<std::byte*>(data);
}

void free_pages(std::byte* data) noexcept {
  std::free(data);
}

}  // namespace vitrail::cpu
