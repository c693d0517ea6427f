// Dropout by itself. 8 bytes an element, 4 in bf16; with 60 integer instructions for four of them it stays
// memory-bound.

#include "kernels/cuda/dropout_mask.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

template <class T>
struct Drop {
  T* y;
  const T* x;
  std::int64_t size;
  DropoutMask mask;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    Pack<float, Width> value = load_floats<Width>(x + sample * size + element);
    if (mask.on()) {
      const Pack<float, Width> factor = mask.at<Width>(sample, element);
#pragma unroll
      for (int i = 0; i < Width; ++i)
        value.of[i] *= factor.of[i];
    }
    store_floats(y + sample * size + element, value);
  }
};

}  // namespace

void execute(Context& context, const ApplyDropout& op) {
  const std::int64_t samples = op.x.shape[0], size = op.x.shape.elements() / samples;
  with_dtype(op.x.dtype, [&](auto number) {
    using T = decltype(number);
    const Drop<T> drop{op.y.as<T>(), op.x.as<T>(), size, DropoutMask(op.dropout)};
    for_elements<kWidest<T>>(context.stream(), samples, size, all_in_packs<kWidest<T>>(size, drop.y, drop.x),
                             drop);
  });
}

}  // namespace vitrail::cuda
