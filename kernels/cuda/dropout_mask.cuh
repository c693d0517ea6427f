#pragma once
// Dropout's mask (kernels/dropout.h) where it is needed: the very numbers of kernels/random.h.

#include <cuda_runtime.h>

#include <cmath>

#include "kernels/cuda/vector.cuh"
#include "kernels/dropout.h"

namespace vitrail::cuda {

// The multipliers of dropout: 0 for an element that is dropped, 1/(1 − rate) for one that is kept. Ten rounds
// of two 32 × 32 → 64-bit products for four elements: about 60 integer instructions.
class DropoutMask {
 public:
  explicit DropoutMask(const Dropout& dropout)
      : key_(dropout.key),
        first_sample_(dropout.first_sample),
        threshold_(static_cast<std::uint32_t>(std::ceil(dropout.rate * 0x1p24))),
        kept_(static_cast<float>(1 / (1 - dropout.rate))),
        on_(dropout.rate > 0) {}

  __host__ __device__ bool on() const { return on_; }
  __device__ float kept() const { return kept_; }  // the multiplier that is not 0

  // Elements [element, element + Width) of a sample, which counts from 0 in this micro-batch; `element` is a
  // multiple of Width.
  template <int Width>
  __device__ Pack<float, Width> at(std::int64_t sample, std::int64_t element) const {
    static_assert(Width == 1 || Width % 4 == 0);
    Pack<float, Width> mask;
    if constexpr (Width > 1) {
#pragma unroll
      for (int first = 0; first < Width; first += 4) {
        const Random4 random = numbers(sample, element + first);
#pragma unroll
        for (int i = 0; i < 4; ++i)
          mask.of[first + i] = multiplier(random[static_cast<std::size_t>(i)]);
      }
    } else {
      const Random4 random = numbers(sample, element);
      const auto place =
          static_cast<int>(element % 4);  // no index: an array that is indexed goes to the stack
      const std::uint32_t low = place == 0 ? random[0] : random[1], high = place == 2 ? random[2] : random[3];
      mask.of[0] = multiplier(place < 2 ? low : high);
    }
    return mask;
  }

  // Element 0 of a sample: stochastic depth's one draw; 1 when it is off.
  __device__ float of_sample(std::int64_t sample) const {
    return on_ ? at<1>(sample, 0).of[0] : 1.0f;
  }

 private:
  // Of the four elements of which `element` is one.
  __device__ Random4 numbers(std::int64_t sample, std::int64_t element) const {
    return random4(key_, first_sample_ + static_cast<std::uint32_t>(sample),
                   static_cast<std::uint32_t>(element / 4));
  }
  __device__ float multiplier(std::uint32_t bits) const {
    return bits >> 8 < threshold_ ? 0.0f : kept_;
  }

  RandomKey key_;
  std::uint32_t first_sample_;
  std::uint32_t threshold_;  // rate in units of 2^-24, rounded up
  float kept_;
  bool on_;
};

}  // namespace vitrail::cuda
