// Between f32 and bf16: 6 bytes an element.

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

template <class To, class From>
struct Convert {
  To* y;
  const From* x;

  template <int Width>
  __device__ void at(std::int64_t, std::int64_t element) const {
    store_floats(y + element, load_floats<Width>(x + element));
  }
};

template <class To, class From>
void cast(Context& context, const Cast& op) {
  const std::int64_t size = op.x.shape.elements();
  const Convert<To, From> body{op.y.as<To>(), op.x.as<From>()};
  constexpr int kWidth = kWidest<To, From>;
  for_elements<kWidth>(context.stream(), 1, size, all_in_packs<kWidth>(size, body.y, body.x), body);
}

}  // namespace

void execute(Context& context, const Cast& op) {
  if (op.y.dtype == DType::bf16) return cast<Bf16, float>(context, op);
  cast<float, Bf16>(context, op);
}

}  // namespace vitrail::cuda
