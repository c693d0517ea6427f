// GELU and its derivative over tensors: 8 and 12 bytes an element, half of them in bf16.

#include "kernels/cuda/dropout_mask.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/gelu.cuh"
#include "kernels/cuda/gelu_ops.h"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

template <class T, class Gelu>
struct ApplyGelu {
  T* y;
  const T* pre;
  std::int64_t size;  // of a sample
  DropoutMask mask;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    Pack<float, Width> value = load_floats<Width>(pre + sample * size + element);
    Pack<float, Width> factor;
    if (mask.on()) factor = mask.at<Width>(sample, element);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      value.of[i] = Gelu::y(value.of[i]);
      if (mask.on()) value.of[i] *= factor.of[i];
    }
    store_floats(y + sample * size + element, value);
  }
};

template <class T, class Gelu>
struct ThroughGelu {
  T* dx;
  const T* pre;
  std::int64_t size;
  DropoutMask mask;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    Pack<float, Width> value = load_floats<Width>(dx + sample * size + element);
    const Pack<float, Width> x = load_floats<Width>(pre + sample * size + element);
    Pack<float, Width> factor;
    if (mask.on()) factor = mask.at<Width>(sample, element);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      value.of[i] *= Gelu::slope(x.of[i]);
      if (mask.on()) value.of[i] *= factor.of[i];
    }
    store_floats(dx + sample * size + element, value);
  }
};

// Body<T, Gelu> over the two tensors, which are (samples, tokens, features).
template <template <class, class> class Body>
void for_both(const Context& context, Out out, In pre, GeluKind kind, const Dropout& dropout) {
  const std::int64_t samples = pre.shape[0], size = pre.shape[1] * pre.shape[2];
  with_dtype(pre.dtype, [&](auto number) {
    using T = decltype(number);
    const bool packed = all_in_packs<kWidest<T>>(size, out.as<T>(), pre.as<T>());
    with_gelu(kind, [&](auto gelu) {
      for_elements<kWidest<T>>(context.stream(), samples, size, packed,
                               Body<T, decltype(gelu)>{out.as<T>(), pre.as<T>(), size, DropoutMask(dropout)});
    });
  });
}

}  // namespace

void apply_gelu(const Context& context, Out y, In pre, GeluKind gelu, const Dropout& dropout) {
  for_both<ApplyGelu>(context, y, pre, gelu, dropout);
}

void through_gelu(const Context& context, Out dx, In pre, GeluKind gelu, const Dropout& dropout) {
  for_both<ThroughGelu>(context, dx, pre, gelu, dropout);
}

void execute(Context& context, const GeluForward& op) {
  apply_gelu(context, op.y, op.pre, op.gelu, op.dropout);
}

}  // namespace vitrail::cuda
