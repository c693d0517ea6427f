#pragma once
// Stands before CUDA's own header of this name on the include path of the emulated build: CUDA's types and
// the declarations of its functions are CUDA's own, what a device has beside is here. Only what our kernels
// use.

#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/cuda_emulation/grid.h"

#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __global__
#define __global__
#undef __device__
#define __device__
#undef __constant__
#define __constant__
// In g++ a variable of a template cannot be put where all shared memory lies, so nothing would poison it.
#undef __shared__
#define __shared__ static_assert(false, "use static_shared or dynamic_shared of cuda_launch.h");

inline const uint3& threadIdx = cuda_emulation::thread_index;
inline const uint3& blockIdx = cuda_emulation::block_index;
inline const dim3& blockDim = cuda_emulation::block_extent;
inline const dim3& gridDim = cuda_emulation::grid_extent;
inline constexpr int warpSize = 32;

// The caller's place: a default argument is evaluated where the call stands.
#define VITRAIL_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(VITRAIL_SITE) {
  cuda_emulation::barrier("__syncthreads", cuda_emulation::Vote::none, 0, {file, line});
}
inline int __syncthreads_count(int predicate, VITRAIL_SITE) {
  return cuda_emulation::barrier("__syncthreads_count", cuda_emulation::Vote::count, predicate, {file, line});
}
inline int __syncthreads_and(int predicate, VITRAIL_SITE) {
  return cuda_emulation::barrier("__syncthreads_and", cuda_emulation::Vote::every, predicate, {file, line});
}
inline int __syncthreads_or(int predicate, VITRAIL_SITE) {
  return cuda_emulation::barrier("__syncthreads_or", cuda_emulation::Vote::any, predicate, {file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, VITRAIL_SITE) {
  cuda_emulation::warp_operation(cuda_emulation::WarpOp::sync, "__syncwarp", mask, 0, 0, {file, line});
}

namespace cuda_emulation {

template <class T>
T shuffle(const char* name, unsigned mask, T value, int source, const Site& site) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  word = warp_operation(WarpOp::shuffle, name, mask, word, source, site);
  std::memcpy(&value, &word, sizeof(T));
  return value;
}

inline void check_width(const char* name, int width, const Site& site) {
  if (width < 1 || width > kWarp || !std::has_single_bit(static_cast<unsigned>(width))) {
    fail(std::string(name) + ": the width is " + std::to_string(width) + ", not 1, 2, 4, 8, 16 or 32", site);
  }
}

}  // namespace cuda_emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, VITRAIL_SITE) {
  cuda_emulation::check_width("__shfl_sync", width, {file, line});
  const int first = cuda_emulation::lane() & ~(width - 1);
  return cuda_emulation::shuffle("__shfl_sync", mask, value, first + (source & (width - 1)), {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, VITRAIL_SITE) {
  cuda_emulation::check_width("__shfl_up_sync", width, {file, line});
  const int lane = cuda_emulation::lane(), from = lane - static_cast<int>(delta);
  const int source = from < (lane & ~(width - 1)) ? lane : from;
  return cuda_emulation::shuffle("__shfl_up_sync", mask, value, source, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, VITRAIL_SITE) {
  cuda_emulation::check_width("__shfl_down_sync", width, {file, line});
  const int lane = cuda_emulation::lane(), from = lane + static_cast<int>(delta);
  const int source = from > (lane | (width - 1)) ? lane : from;
  return cuda_emulation::shuffle("__shfl_down_sync", mask, value, source, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, VITRAIL_SITE) {
  cuda_emulation::check_width("__shfl_xor_sync", width, {file, line});
  const int lane = cuda_emulation::lane(), from = lane ^ bits;
  // Lanes may read from earlier parts of the warp, not from later ones.
  const int source = from > (lane | (width - 1)) ? lane : from;
  return cuda_emulation::shuffle("__shfl_xor_sync", mask, value, source, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, VITRAIL_SITE) {
  return static_cast<unsigned>(cuda_emulation::warp_operation(cuda_emulation::WarpOp::ballot, "__ballot_sync",
                                                              mask, predicate != 0, 0, {file, line}));
}
inline int __any_sync(unsigned mask, int predicate, VITRAIL_SITE) {
  return static_cast<int>(cuda_emulation::warp_operation(cuda_emulation::WarpOp::any, "__any_sync", mask,
                                                         predicate != 0, 0, {file, line}));
}
inline int __all_sync(unsigned mask, int predicate, VITRAIL_SITE) {
  return static_cast<int>(cuda_emulation::warp_operation(cuda_emulation::WarpOp::all, "__all_sync", mask,
                                                         predicate != 0, 0, {file, line}));
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, VITRAIL_SITE) {
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  return static_cast<unsigned>(cuda_emulation::warp_operation(
      cuda_emulation::WarpOp::match, "__match_any_sync", mask, word, 0, {file, line}));
}
inline unsigned __activemask() {
  return cuda_emulation::active_lanes();
}

// On 32-bit integers, as CUDA has them.
#define VITRAIL_REDUCE(name, type, op)                                                                 \
  inline type name(unsigned mask, type value, VITRAIL_SITE) {                                          \
    return static_cast<type>(cuda_emulation::warp_operation(                                           \
        cuda_emulation::WarpOp::op, #name, mask, static_cast<std::uint32_t>(value), 0, {file, line})); \
  }
VITRAIL_REDUCE(__reduce_add_sync, unsigned, add)
VITRAIL_REDUCE(__reduce_add_sync, int, add)
VITRAIL_REDUCE(__reduce_min_sync, unsigned, least)
VITRAIL_REDUCE(__reduce_min_sync, int, least_signed)
VITRAIL_REDUCE(__reduce_max_sync, unsigned, most)
VITRAIL_REDUCE(__reduce_max_sync, int, most_signed)
VITRAIL_REDUCE(__reduce_and_sync, unsigned, bit_and)
VITRAIL_REDUCE(__reduce_or_sync, unsigned, bit_or)
VITRAIL_REDUCE(__reduce_xor_sync, unsigned, bit_xor)
#undef VITRAIL_REDUCE
#undef VITRAIL_SITE

// Nothing runs between two switches of fibers, so plain code is atomic.
#define VITRAIL_ATOMIC(name, value_after)             \
  template <class T>                                  \
  T name(T* address, std::type_identity_t<T> value) { \
    const T before = *address;                        \
    *address = value_after;                           \
    return before;                                    \
  }
VITRAIL_ATOMIC(atomicAdd, before + value)
VITRAIL_ATOMIC(atomicSub, before - value)
VITRAIL_ATOMIC(atomicMax, std::max(before, value))
VITRAIL_ATOMIC(atomicMin, std::min(before, value))
VITRAIL_ATOMIC(atomicOr, before | value)
VITRAIL_ATOMIC(atomicAnd, before& value)
VITRAIL_ATOMIC(atomicExch, value)
#undef VITRAIL_ATOMIC
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  const T before = *address;
  if (before == compare) *address = value;
  return before;
}
inline unsigned atomicInc(unsigned* address, unsigned most) {
  const unsigned before = *address;
  *address = before >= most ? 0 : before + 1;
  return before;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

using std::max;
using std::min;

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}

// The fast forms are computed exactly here.
inline float __expf(float x) {
  return ::expf(x);
}
inline float __logf(float x) {
  return ::logf(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float __frcp_rn(float x) {
  return 1 / x;
}
inline float __fsqrt_rn(float x) {
  return ::sqrtf(x);
}
inline float rsqrtf(float x) {
  return 1 / ::sqrtf(x);
}
inline double rsqrt(double x) {
  return 1 / ::sqrt(x);
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
