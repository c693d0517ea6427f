#pragma once
// Vectors of the instruction set this file is compiled for, as the compilers' own vector types: +, −, ·, <,
// ?: work on them as on numbers.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace vitrail::cpu::VITRAIL_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kVectorRegisters = 32;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kVectorRegisters = 16;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kVectorRegisters = 16;
#endif

template <class T>
struct VecOf {
  typedef T Type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vec = typename VecOf<T>::Type;

using IntVec = VecOf<std::int32_t>::Type;

template <class T>
inline constexpr std::int64_t kLanes = kVectorBytes / static_cast<int>(sizeof(T));

constexpr std::int64_t rounded_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

template <class T>
inline Vec<T> load(const T* from) {
  Vec<T> result;
  std::memcpy(&result, from, sizeof result);
  return result;
}

template <class T>
inline void store(T* to, Vec<T> value) {
  std::memcpy(to, &value, sizeof value);
}

template <class T>
inline Vec<T> splat(T value) {
  return value - Vec<T>{};
}

// Reads and writes whole vectors …
template <class T>
struct WholeVector {
  Vec<T> load(const T* from) const { return VITRAIL_ISA::load(from); }
  void store(T* to, const Vec<T>& value) const { VITRAIL_ISA::store<T>(to, value); }
  Vec<T> only(const Vec<T>& value, T) const { return value; }
};

// … or the first `count` lanes; the others are read as 0.
template <class T>
struct PartVector {
  std::int64_t count;

  Vec<T> load(const T* from) const {
    Vec<T> result{};
    std::memcpy(&result, from, static_cast<std::size_t>(count) * sizeof(T));
    return result;
  }
  void store(T* to, const Vec<T>& value) const {
    std::memcpy(to, &value, static_cast<std::size_t>(count) * sizeof(T));
  }
  // The lanes behind the last set to `otherwise`.
  Vec<T> only(const Vec<T>& value, T otherwise) const {
    Vec<T> number;
    for (int lane = 0; lane < kLanes<T>; ++lane)
      number[lane] = static_cast<T>(lane);
    return number < static_cast<T>(count) ? value : splat(otherwise);
  }
};

// Calls body(offset, access) for each vector of a row of `count` elements; the last may be a part.
template <class T, class Body>
inline void each_vector(std::int64_t count, const Body& body) {
  std::int64_t offset = 0;
  for (; offset + kLanes<T> <= count; offset += kLanes<T>)
    body(offset, WholeVector<T>{});
  if (offset < count) body(offset, PartVector<T>{count - offset});
}

template <class T>
inline Vec<T> larger(const Vec<T>& a, const Vec<T>& b) {
  return a > b ? a : b;
}
template <class T>
inline Vec<T> lesser(const Vec<T>& a, const Vec<T>& b) {
  return a < b ? a : b;
}

// One instruction, where g++ 12 often makes two of a comparison.
#if defined(__AVX512F__)
template <>
inline Vec<float> larger<float>(const Vec<float>& a, const Vec<float>& b) {
  return reinterpret_cast<Vec<float>>(
      _mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
}
template <>
inline Vec<float> lesser<float>(const Vec<float>& a, const Vec<float>& b) {
  return reinterpret_cast<Vec<float>>(
      _mm512_min_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
}
#elif defined(__AVX__)
template <>
inline Vec<float> larger<float>(const Vec<float>& a, const Vec<float>& b) {
  return reinterpret_cast<Vec<float>>(
      _mm256_max_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
}
template <>
inline Vec<float> lesser<float>(const Vec<float>& a, const Vec<float>& b) {
  return reinterpret_cast<Vec<float>>(
      _mm256_min_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
}
#endif

// 1 / x to a unit in the last place, for x between 2^-100 and 2^100.
inline Vec<float> inverse_of(const Vec<float>& x) {
#if defined(__AVX512F__)
  // 14 bits and one step of Newton's: half the time of a division.
  const Vec<float> guess = reinterpret_cast<Vec<float>>(_mm512_rcp14_ps(reinterpret_cast<__m512>(x)));
  return guess + guess * (1.0f - x * guess);
#else
  return 1.0f / x;
#endif
}
inline Vec<double> inverse_of(const Vec<double>& x) {
  return 1.0 / x;
}

// The lanes in another order: lane i takes that of number i xor kDistance.
template <int kDistance, class T, int... kLane>
inline Vec<T> swapped(const Vec<T>& value, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(value, value, (kLane ^ kDistance)...);
}

// Combines all lanes by `combine`, by halves, quarters, and so on: always in the same order.
template <class T, int kDistance = static_cast<int>(kLanes<T>) / 2, class Combine>
inline T reduced(const Vec<T>& value, const Combine& combine) {
  if constexpr (kDistance == 0) {
    return value[0];
  } else {
    using Lanes = std::make_integer_sequence<int, static_cast<int>(kLanes<T>)>;
    return reduced<T, kDistance / 2>(combine(value, swapped<kDistance, T>(value, Lanes{})), combine);
  }
}

template <class T>
inline T sum_of(const Vec<T>& value) {
  return reduced<T>(value, [](const Vec<T>& a, const Vec<T>& b) { return a + b; });
}

template <class T>
inline T max_of(const Vec<T>& value) {
  return reduced<T>(value, [](const Vec<T>& a, const Vec<T>& b) { return larger<T>(a, b); });
}

// exp, to 2 units in the last place for results that are normal numbers; less than the smallest of them
// becomes 0 or that number, more than the largest becomes about 2^127. x = n·ln 2 + r with n whole and |r| ≤
// ln 2 / 2: exp(x) = 2^n · exp(r), exp(r) by its power series.
inline Vec<float> exp_of(Vec<float> x) {
  constexpr float kRounder = 0x1.8p23f;  // added and taken away again, it rounds to a whole number
  x = lesser<float>(larger<float>(x, splat(-87.3f)), splat(88.0f));
  const Vec<float> shifted = x * 1.44269504088896341f + kRounder;
  const Vec<float> n = shifted - kRounder;
  const Vec<float> r =
      (x - n * 0x1.62e4p-1f) - n * 1.42860682e-6f;  // ln 2 in two pieces, the first exact times n
  // In pairs: a chain of seven multiplications would leave the multipliers waiting.
  const Vec<float> r2 = r * r;
  Vec<float> p = (r * (1.0f / 5040) + 1.0f / 720) * r2 + (r * (1.0f / 120) + 1.0f / 24);
  p = p * r2 + (r * (1.0f / 6) + 0.5f);
  p = (p * r2 + r) + 1.0f;
  return reinterpret_cast<Vec<float>>(reinterpret_cast<IntVec>(p) +
                                      (reinterpret_cast<IntVec>(shifted) << 23));
}

inline Vec<double> exp_of(Vec<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane)
    x[lane] = ::exp(x[lane]);
  return x;
}

inline float log_of(float x) {
  return ::logf(x);
}
inline double log_of(double x) {
  return ::log(x);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
