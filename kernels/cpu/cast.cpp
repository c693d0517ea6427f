#include "kernels/cast.h"

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/chunks.h"
#include "kernels/cpu/ops.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

template <class To, class From>
void convert(Context& context, const Cast& op) {
  std::int64_t count = 1;
  for (int axis = 0; axis < op.x.shape.rank; ++axis)
    count *= op.x.shape.dims[static_cast<std::size_t>(axis)];
  for_chunks(context, count, kChunk, [&](std::int64_t begin, std::int64_t end) {
    convert_row(op.y.as<To>() + begin, op.x.as<From>() + begin, end - begin);
  });
}

}  // namespace

void execute(Context& context, const Cast& op) {
  op.x.dtype == DType::bf16 ? convert<float, Bf16>(context, op) : convert<Bf16, float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
