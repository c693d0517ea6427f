#include "kernels/dropout.h"

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/chunks.h"
#include "kernels/cpu/dropout_mask.h"
#include "kernels/cpu/ops.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

// Elements [begin, end) of one sample, a short mask at a time.
template <class T>
void drop(const ApplyDropout& op, std::int64_t sample, std::int64_t begin, std::int64_t end, T* y,
          const T* x) {
  constexpr std::int64_t kPiece = 1024;
  const DropoutMask<Wide<T>> dropout(op.dropout);
  for (std::int64_t from = begin; from < end; from += kPiece) {
    const std::int64_t count = from + kPiece < end ? kPiece : end - from;
    Wide<T> mask[kPiece];
    dropout.fill(mask, sample, from, count);
    each_vector<Wide<T>>(count, [&](std::int64_t i, const auto& access) {
      write(access, y + from + i, read(access, x + from + i) * access.load(mask + i));
    });
  }
}

template <class T>
void apply(Context& context, const ApplyDropout& op) {
  const std::int64_t samples = op.x.shape[0], size = op.x.shape.elements() / samples;
  const std::int64_t chunks = chunks_of(size, kChunk);
  context.pool().parallel_for(samples * chunks, [&](std::int64_t task, int) {
    const std::int64_t sample = task / chunks, begin = task % chunks * kChunk;
    const std::int64_t end = begin + kChunk < size ? begin + kChunk : size;
    drop(op, sample, begin, end, op.y.as<T>() + sample * size, op.x.as<T>() + sample * size);
  });
}

}  // namespace

void execute(Context& context, const ApplyDropout& op) {
  if (op.x.dtype == DType::f64) return apply<double>(context, op);
  if (op.x.dtype == DType::bf16) return apply<Bf16>(context, op);
  apply<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
