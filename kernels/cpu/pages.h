#pragma once
// Memory for tensors and scratch: whole pages, large ones where the system has them. Rows of a tensor lie
// kilobytes apart, so products touch a page for every few cache lines: with pages of 2 MiB the processor
// finds them without walking the page tables (matrix products of ViT-B gain 3 to 4 %).

#include <cstddef>

namespace vitrail::cpu {

// At least 4096-byte aligned, contents undefined. Throws std::bad_alloc.
std::byte* allocate_pages(std::size_t bytes);
void free_pages(std::byte* data) noexcept;

}  // namespace vitrail::cpu
