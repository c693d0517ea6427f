// Between f32 and bf16: 6 bytes an element.

#include <cuda_bf16.h>

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

__device__ __forceinline__ void convert(__nv_bfloat16& to, float from) {
  to = __float2bfloat16(from);
}
__device__ __forceinline__ void convert(float& to, __nv_bfloat16 from) {
  to = __bfloat162float(from);
}

template <class To, class From>
struct Convert {
  To* y;
  const From* x;

  template <int Width>
  __device__ void at(std::int64_t, std::int64_t element) const {
    const Pack<From, Width> from = load<Width>(x + element);
    Pack<To, Width> to;
#pragma unroll
    for (int i = 0; i < Width; ++i)
      convert(to.of[i], from.of[i]);
    store(y + element, to);
  }
};

template <class To, class From>
void cast(Context& context, const Cast& op) {
  const std::int64_t size = op.x.shape.elements();
  const Convert<To, From> body{op.y.as<To>(), op.x.as<From>()};
  for_elements(context.stream(), 1, size, all_in_fours(size, body.y, body.x), body);
}

}  // namespace

void execute(Context& context, const Cast& op) {
  if (op.y.dtype == DType::bf16) return cast<__nv_bfloat16, float>(context, op);
  cast<float, __nv_bfloat16>(context, op);
}

}  // namespace vitrail::cuda
