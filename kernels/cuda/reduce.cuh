#pragma once
// Sums and maxima of a warp and of a block, in an order that never changes: the same bits every time. Every
// lane gets the result.

#include <cuda_launch.h>

namespace vitrail::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;

template <int Lanes = 32, class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int bits = Lanes / 2; bits > 0; bits /= 2)
    value += __shfl_xor_sync(kAllLanes, value, bits);
  return value;
}

template <int Lanes = 32>
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int bits = Lanes / 2; bits > 0; bits /= 2)
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, bits));
  return value;
}

template <class T>
struct BlockSums {
  T of_warp[32];
};

// Of a block with whole warps.
template <class T>
__device__ __forceinline__ T block_sum(T value) {
  BlockSums<T>& sums = static_shared<BlockSums<T>>();
  const unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  __syncthreads();  // an earlier sum has been read
  if (lane == 0) sums.of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  return warp_sum(lane < warps ? sums.of_warp[lane] : T{0});
}

}  // namespace vitrail::cuda
