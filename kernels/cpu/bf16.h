#pragma once
// bf16 in memory, f32 in registers: reading widens exactly, writing rounds to nearest, ties to even.

#include <type_traits>

#include "kernels/cpu/pair_product.h"
#include "kernels/cpu/vec.h"
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace vitrail::cpu::VITRAIL_ISA {

// A of statistics_dtype() for the C++ types.
template <class C>
struct WideOf {
  using Type = C;
};
template <>
struct WideOf<Bf16> {
  using Type = float;
};
template <class C>
using Wide = typename WideOf<C>::Type;

typedef std::uint32_t BitsVec __attribute__((vector_size(kVectorBytes)));
typedef std::uint16_t HalfBitsVec __attribute__((vector_size(kVectorBytes / 2)));

inline BitsVec zero_extended(const HalfBitsVec& halves) {
#ifdef __AVX512F__
  return reinterpret_cast<BitsVec>(
      _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(halves)));  // g++ 12 makes four of it
#else
  return __builtin_convertvector(halves, BitsVec);
#endif
}

inline Vec<float> widened(const HalfBitsVec& halves) {
  return reinterpret_cast<Vec<float>>(zero_extended(halves) << 16);
}

// A NaN keeps its upper bits and is made quiet: rounding alone could carry it into the sign or make it
// infinite.
inline HalfBitsVec exactly_rounded_to_bf16(const Vec<float>& value) {
  const auto bits = reinterpret_cast<BitsVec>(value);
  const BitsVec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const BitsVec quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector(value == value ? rounded : quiet, HalfBitsVec);
}

inline HalfBitsVec rounded_to_bf16(const Vec<float>& value) {
#ifdef __AVX512BF16__
  // Subnormal numbers become 0 here.
  return (HalfBitsVec)_mm512_cvtneps_pbh((__m512)value);
#else
  return exactly_rounded_to_bf16(value);
#endif
}

// Reads and writes of each_vector()'s accesses, by the type in memory.
template <class T, template <class> class Access>
inline Vec<T> read(const Access<T>& access, const T* from) {
  return access.load(from);
}
template <class T, template <class> class Access>
inline void write(const Access<T>& access, T* to, const Vec<T>& value) {
  access.store(to, value);
}

inline HalfBitsVec bits_of(const WholeVector<float>&, const Bf16* from) {
  HalfBitsVec halves;
  std::memcpy(&halves, from, sizeof halves);
  return halves;
}
inline HalfBitsVec bits_of(const PartVector<float>& part, const Bf16* from) {
  HalfBitsVec halves{};
  std::memcpy(&halves, from, static_cast<std::size_t>(part.count) * sizeof(Bf16));
  return halves;
}
template <class Access>
inline Vec<float> read(const Access& access, const Bf16* from) {
  return widened(bits_of(access, from));
}
inline void write_bits(const WholeVector<float>&, Bf16* to, const HalfBitsVec& halves) {
  std::memcpy(to, &halves, sizeof halves);
}
inline void write_bits(const PartVector<float>& part, Bf16* to, const HalfBitsVec& halves) {
  std::memcpy(to, &halves, static_cast<std::size_t>(part.count) * sizeof(Bf16));
}
template <class Access>
inline void write(const Access& access, Bf16* to, const Vec<float>& value) {
  write_bits(access, to, rounded_to_bf16(value));
}

// As a C holds it.
template <class C>
inline Vec<Wide<C>> rounded_to(const Vec<Wide<C>>& value) {
  if constexpr (std::is_same_v<C, Bf16>)
    return widened(rounded_to_bf16(value));
  else
    return value;
}

// to[i] = from[i], between any two of the types, subnormal numbers too.
template <class To, class From>
inline void convert_row(To* to, const From* from, std::int64_t count) {
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    const Vec<float> value = read(access, from + i);
    if constexpr (std::is_same_v<To, Bf16>) {
      write_bits(access, to + i, exactly_rounded_to_bf16(value));
    } else {
      write(access, to + i, value);
    }
  });
}

}  // namespace vitrail::cpu::VITRAIL_ISA
