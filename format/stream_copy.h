#pragma once
// Copying into memory that will not be looked at soon.

#include <cassert>
#include <cstring>

#include "format/bytes.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace vitrail::format {

// Stores past the cache: they do not read first what they replace, a third of an ordinary copy's traffic.
inline void stream_copy(std::span<std::byte> to, Bytes from) {
  assert(to.size() == from.size());
  std::size_t done = 0;
#ifdef __SSE2__
  constexpr std::size_t kStore = sizeof(__m128i);
  const std::size_t skew = reinterpret_cast<std::uintptr_t>(to.data()) % kStore;
  const std::size_t first = skew == 0 ? 0 : kStore - skew;
  if (to.size() >= 4096) {
    std::memcpy(to.data(), from.data(), first);
    for (done = first; done + kStore <= to.size(); done += kStore) {
      const __m128i value = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from.data() + done));
      _mm_stream_si128(reinterpret_cast<__m128i*>(to.data() + done), value);
    }
    _mm_sfence();  // other threads must not see what follows before these stores
  }
#endif
  if (done < to.size()) std::memcpy(to.data() + done, from.data() + done, to.size() - done);
}

}  // namespace vitrail::format
