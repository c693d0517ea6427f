#pragma once
// Several neighbouring numbers of one row, moved by one access: 16 bytes a thread where alignment allows.
// They are stored as f32 or bf16 and computed with as f32.

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/view.h"

namespace vitrail::cuda {

using Bf16 = __nv_bfloat16;

// Calls body with a number of the dtype's type, f32 or bf16, so that the choice is made once a launch.
template <class Body>
void with_dtype(DType dtype, const Body& body) {
  if (dtype == DType::bf16) return body(Bf16{});
  body(float{});
}

inline constexpr std::size_t kAccessBytes = 16;

// More than one access has is moved by several.
template <class T, int Width>
struct alignas(std::min(sizeof(T) * Width, kAccessBytes)) Pack {
  T of[Width];
};

// The width at which the smallest of these types fills an access.
template <class... T>
inline constexpr int kWidest = static_cast<int>(kAccessBytes / std::min({sizeof(T)...}));

template <int Width, class T>
__device__ __forceinline__ Pack<T, Width> load(const T* from) {
  return *reinterpret_cast<const Pack<T, Width>*>(from);
}

template <int Width, class T>
__device__ __forceinline__ void store(T* to, const Pack<T, Width>& pack) {
  *reinterpret_cast<Pack<T, Width>*>(to) = pack;
}

__device__ __forceinline__ float as_float(float x) {
  return x;
}
__device__ __forceinline__ float as_float(Bf16 x) {
  return __bfloat162float(x);
}

// To nearest, ties to even.
__device__ __forceinline__ void round_to(float& to, float x) {
  to = x;
}
__device__ __forceinline__ void round_to(Bf16& to, float x) {
  to = __float2bfloat16(x);
}

template <int Width, class T>
__device__ __forceinline__ Pack<float, Width> as_floats(const Pack<T, Width>& pack) {
  Pack<float, Width> values;
#pragma unroll
  for (int i = 0; i < Width; ++i)
    values.of[i] = as_float(pack.of[i]);
  return values;
}

template <int Width, class T>
__device__ __forceinline__ Pack<float, Width> load_floats(const T* from) {
  return as_floats(load<Width>(from));
}

template <int Width, class T>
__device__ __forceinline__ void store_floats(T* to, const Pack<float, Width>& values) {
  Pack<T, Width> pack;
#pragma unroll
  for (int i = 0; i < Width; ++i)
    round_to(pack.of[i], values.of[i]);
  store(to, pack);
}

// Whether rows of `extent` numbers, each behind the other from `data` on, can be read in packs of Width.
template <int Width, class T>
bool in_packs(const T* data, std::int64_t extent) {
  return extent % Width == 0 && reinterpret_cast<std::uintptr_t>(data) % alignof(Pack<T, Width>) == 0;
}

template <int Width, class... T>
bool all_in_packs(std::int64_t extent, const T*... data) {
  return (in_packs<Width>(data, extent) && ...);
}

template <class... T>
bool all_in_fours(std::int64_t extent, const T*... data) {
  return all_in_packs<4>(extent, data...);
}

}  // namespace vitrail::cuda
