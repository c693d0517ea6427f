#include "kernels/cpu/bulk_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace vitrail::cpu {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;  // of one task
constexpr std::size_t kLine = 64;

// A usual store first reads the line that it fills; a streaming one does not, which saves a third of the
// traffic.
void copy_past_caches(std::byte* to, const std::byte* from, std::size_t bytes) {
#if defined(__SSE2__)
  const std::size_t head = std::min(bytes, (kLine - reinterpret_cast<std::uintptr_t>(to) % kLine) % kLine);
  std::memcpy(to, from, head);
  std::size_t at = head;
  for (; at + kLine <= bytes; at += kLine) {
    for (std::size_t part = at; part < at + kLine; part += sizeof(__m128i)) {
      const __m128i value = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + part));
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + part), value);
    }
  }
  std::memcpy(to + at, from + at, bytes - at);
  _mm_sfence();  // streaming stores are not ordered with the hand-over to other threads
#else
  std::memcpy(to, from, bytes);
#endif
}

void zero_past_caches(std::byte* to, std::size_t bytes) {
#if defined(__SSE2__)
  const std::size_t head = std::min(bytes, (kLine - reinterpret_cast<std::uintptr_t>(to) % kLine) % kLine);
  std::memset(to, 0, head);
  std::size_t at = head;
  for (; at + kLine <= bytes; at += kLine) {
    for (std::size_t part = at; part < at + kLine; part += sizeof(__m128i))
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + part), _mm_setzero_si128());
  }
  std::memset(to + at, 0, bytes - at);
  _mm_sfence();
#else
  std::memset(to, 0, bytes);
#endif
}

// Calls body(begin, bytes) for the pieces of a range.
template <class Body>
void each_piece(ThreadPool& pool, std::size_t bytes, const Body& body) {
  const auto tasks = static_cast<std::int64_t>((bytes + kPiece - 1) / kPiece);
  pool.parallel_for(tasks, [&](std::int64_t task, int) {
    const std::size_t begin = static_cast<std::size_t>(task) * kPiece;
    body(begin, std::min(kPiece, bytes - begin));
  });
}

}  // namespace

void bulk_copy(ThreadPool& pool, void* to, const void* from, std::size_t bytes) {
  if (bytes < 2 * kPiece) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    return;
  }
  each_piece(pool, bytes, [&](std::size_t begin, std::size_t count) {
    copy_past_caches(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin, count);
  });
}

void bulk_zero(ThreadPool& pool, void* to, std::size_t bytes) {
  if (bytes < 2 * kPiece) {
    if (bytes > 0) std::memset(to, 0, bytes);
    return;
  }
  each_piece(pool, bytes, [&](std::size_t begin, std::size_t count) {
    zero_past_caches(static_cast<std::byte*>(to) + begin, count);
  });
}

}  // namespace vitrail::cpu
