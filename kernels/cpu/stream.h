#pragma once
// Stores past the caches, for results that these could not keep until they are read: a usual store first
// reads the line that it fills, which costs as much traffic as the result itself.

#include <type_traits>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/rows.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr std::int64_t kStreamedBytes = std::int64_t{2} << 20;

// Whether stream() is to write a matrix of so many rows: it is large, and each of its rows begins on as many
// bytes as a vector's numbers take.
template <class T>
inline bool streams([[maybe_unused]] const Rows<T>& matrix, [[maybe_unused]] std::int64_t rows) {
#if defined(__AVX__)
  constexpr std::int64_t kNumber = sizeof(T);
  return !std::is_same_v<T, double> && rows * matrix.stride * kNumber >= kStreamedBytes &&
         reinterpret_cast<std::uintptr_t>(matrix.data) % (kLanes<float> * kNumber) == 0 &&
         matrix.stride % kLanes<float> == 0;
#else
  return false;
#endif
}

// `to` begins on a vector.
inline void stream([[maybe_unused]] float* to, [[maybe_unused]] const Vec<float>& value) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, reinterpret_cast<__m512>(value));
#elif defined(__AVX__)
  _mm256_stream_ps(to, reinterpret_cast<__m256>(value));
#endif
}

inline void stream([[maybe_unused]] Bf16* to, [[maybe_unused]] const Vec<float>& value) {
#if defined(__AVX512F__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(rounded_to_bf16(value)));
#elif defined(__AVX__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(rounded_to_bf16(value)));
#endif
}

// A write of each_vector()'s accesses, past the caches where streams() has said so.
template <class Access, class T, class Value>
inline void write_or_stream(const Access& access, T* to, const Value& value, bool past_caches) {
  if constexpr (!std::is_same_v<T, double> && std::is_same_v<Access, WholeVector<float>>) {
    if (past_caches) return stream(to, value);
  }
  write(access, to, value);
}

// convert_row(), past the caches where streams() has said so.
template <class To, class From>
inline void convert_or_stream(To* to, const From* from, std::int64_t count, bool past_caches) {
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    write_or_stream(access, to + i, read(access, from + i), past_caches);
  });
}

// Before a task ends that has called stream(): nothing else orders these stores with the hand-over to other
// threads.
inline void finish_streaming() {
#if defined(__AVX__)
  _mm_sfence();
#endif
}

}  // namespace vitrail::cpu::VITRAIL_ISA
