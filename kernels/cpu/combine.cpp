#include "kernels/combine.h"

#include "kernels/cpu/chunks.h"
#include "kernels/cpu/ops.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

template <class T>
void combine(Context& context, const Combine& op) {
  const T alpha = static_cast<T>(op.alpha), beta = static_cast<T>(op.beta);
  T* y = op.y.as<T>();
  const T* a = op.a.as<T>();
  const T* b = op.b.as<T>();
  for_chunks(context, op.y.shape.elements(), kChunk, [=](std::int64_t begin, std::int64_t end) {
    if (b == nullptr) {
      for (std::int64_t i = begin; i < end; ++i)
        y[i] = alpha * a[i];
    } else {
      for (std::int64_t i = begin; i < end; ++i)
        y[i] = alpha * a[i] + beta * b[i];
    }
  });
}

}  // namespace

void execute(Context& context, const Combine& op) {
  if (op.y.dtype == DType::f64) return combine<double>(context, op);
  combine<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
