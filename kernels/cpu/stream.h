#pragma once
// Stores past the caches, for results that these could not keep until they are read: a usual store first
// reads the line that it fills, which costs as much traffic as the result itself.

#include <type_traits>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/rows.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr std::int64_t kStreamedBytes = std::int64_t{2} << 20;

// Whether stream() is to write a matrix of so many rows: it is large, and each of its rows begins on a
// vector.
inline bool streams(const Rows<float>& matrix, std::int64_t rows) {
#if defined(__AVX__)
  return rows * matrix.stride * static_cast<std::int64_t>(sizeof(float)) >= kStreamedBytes &&
         reinterpret_cast<std::uintptr_t>(matrix.data) % kVectorBytes == 0 &&
         matrix.stride % kLanes<float> == 0;
#else
  (void)matrix, (void)rows;
  return false;
#endif
}
template <class T>
inline bool streams(const Rows<T>&, std::int64_t) {
  return false;
}

// `to` begins on a vector.
inline void stream([[maybe_unused]] float* to, [[maybe_unused]] const Vec<float>& value) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, reinterpret_cast<__m512>(value));
#elif defined(__AVX__)
  _mm256_stream_ps(to, reinterpret_cast<__m256>(value));
#endif
}

// A write of each_vector()'s accesses, past the caches where streams() has said so.
template <class Access, class T, class Value>
inline void write_or_stream(const Access& access, T* to, const Value& value, bool past_caches) {
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Access, WholeVector<float>>) {
    if (past_caches) return stream(to, value);
  }
  write(access, to, value);
}

// Before a task ends that has called stream(): nothing else orders these stores with the hand-over to other
// threads.
inline void finish_streaming() {
#if defined(__AVX__)
  _mm_sfence();
#endif
}

}  // namespace vitrail::cpu::VITRAIL_ISA
