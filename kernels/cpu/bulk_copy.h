#pragma once
// Copies of many megabytes, and as many zeros: by all threads, past the caches, which they would only empty
// of what the next op needs.

#include <cstddef>

#include "kernels/cpu/thread_pool.h"

namespace vitrail::cpu {

// The two ranges do not overlap.
void bulk_copy(ThreadPool& pool, void* to, const void* from, std::size_t bytes);
void bulk_zero(ThreadPool& pool, void* to, std::size_t bytes);

}  // namespace vitrail::cpu
