#pragma once
// How element-wise ops are cut into tasks: by size alone, never by the number of threads.

#include <cstdint>

#include "kernels/cpu/context.h"

namespace vitrail::cpu::VITRAIL_ISA {

// Elements of one task: large beside the cost of handing it out, small beside a level-2 cache.
inline constexpr std::int64_t kChunk = 16384;

inline std::int64_t chunks_of(std::int64_t elements, std::int64_t chunk) {
  return (elements + chunk - 1) / chunk;
}

// Rows of one task, so that it has about kChunk elements.
inline std::int64_t rows_per_chunk(std::int64_t cols) {
  return cols < kChunk ? kChunk / cols : 1;
}

// Calls body(begin, end) for consecutive ranges that together are [0, count), each of `chunk` but for the
// last.
template <class Body>
inline void for_chunks(Context& context, std::int64_t count, std::int64_t chunk, const Body& body) {
  context.pool().parallel_for(chunks_of(count, chunk), [&](std::int64_t task, int) {
    const std::int64_t begin = task * chunk;
    body(begin, begin + chunk < count ? begin + chunk : count);
  });
}

}  // namespace vitrail::cpu::VITRAIL_ISA
