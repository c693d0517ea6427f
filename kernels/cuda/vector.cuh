#pragma once
// Several neighbouring numbers of one row, moved by one access: 16 bytes a thread where alignment allows.

#include <cuda_runtime.h>

#include <cstdint>

namespace vitrail::cuda {

template <class T, int Width>
struct alignas(sizeof(T) * Width) Pack {
  T of[Width];
};

template <int Width, class T>
__device__ __forceinline__ Pack<T, Width> load(const T* from) {
  return *reinterpret_cast<const Pack<T, Width>*>(from);
}

template <int Width, class T>
__device__ __forceinline__ void store(T* to, const Pack<T, Width>& pack) {
  *reinterpret_cast<Pack<T, Width>*>(to) = pack;
}

// Whether rows of `extent` numbers, each behind the other from `data` on, can be read in packs of four.
template <class T>
bool in_fours(const T* data, std::int64_t extent) {
  return extent % 4 == 0 && reinterpret_cast<std::uintptr_t>(data) % (4 * sizeof(T)) == 0;
}

template <class... Pointers>
bool all_in_fours(std::int64_t extent, const Pointers*... data) {
  return (in_fours(data, extent) && ...);
}

}  // namespace vitrail::cuda
