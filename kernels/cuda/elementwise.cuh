#pragma once
// Operations without neighbours, over (samples, size) numbers: Width of them a thread, a block on one sample,
// so that no index is divided. Memory-bound: what counts is that each access has 16 bytes.

#include <cuda_launch.h>

#include <algorithm>

#include "kernels/cuda/vector.cuh"

namespace vitrail::cuda {

inline constexpr unsigned kElementThreads = 256;

// body.template at<Width>(sample, element): element is a multiple of Width.
template <int Width, class Body>
__global__ void __launch_bounds__(kElementThreads)
    each_element(std::int64_t samples, std::int64_t size, Body body) {
  const std::int64_t element = (std::int64_t{blockIdx.x} * kElementThreads + threadIdx.x) * Width;
  if (element >= size) return;
  for (std::int64_t sample = blockIdx.y; sample < samples; sample += gridDim.y)
    body.template at<Width>(sample, element);
}

// `packed`: every operand of the body can be read in packs of Widest.
template <int Widest = 4, class Body>
void for_elements(cudaStream_t stream, std::int64_t samples, std::int64_t size, bool packed,
                  const Body& body) {
  const std::int64_t width = packed ? Widest : 1;
  const std::int64_t blocks = (size / width + kElementThreads - 1) / kElementThreads;
  constexpr std::int64_t kMostRows = 65535;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(std::min(samples, kMostRows))),
      .block = kElementThreads,
      .stream = stream};
  if (packed) {
    launch<each_element<Widest, Body>>(shape, samples, size, body);
  } else {
    launch<each_element<1, Body>>(shape, samples, size, body);
  }
}

}  // namespace vitrail::cuda
