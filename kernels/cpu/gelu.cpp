#include "kernels/cpu/gelu.h"

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/chunks.h"
#include "kernels/cpu/dropout_mask.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/stream.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

// Elements [begin, end) of one sample, a short mask at a time.
template <class T, class Gelu>
void activate(const GeluForward& op, std::int64_t sample, std::int64_t begin, std::int64_t end, T* y,
              const T* pre, Gelu gelu, bool past_caches) {
  constexpr std::int64_t kPiece = 1024;
  const DropoutMask<Wide<T>> dropout(op.dropout);
  for (std::int64_t from = begin; from < end; from += kPiece) {
    const std::int64_t count = from + kPiece < end ? kPiece : end - from;
    Wide<T> mask[kPiece];
    if (dropout.on()) dropout.fill(mask, sample, from, count);
    each_vector<Wide<T>>(count, [&](std::int64_t i, const auto& access) {
      Vec<Wide<T>> value = gelu.template y<Wide<T>>(read(access, pre + from + i));
      if (dropout.on()) value *= access.load(mask + i);
      write_or_stream(access, y + from + i, value, past_caches);
    });
  }
  if (past_caches) finish_streaming();
}

template <class T>
void forward(Context& context, const GeluForward& op) {
  const std::int64_t samples = op.pre.shape[0], size = op.pre.shape[1] * op.pre.shape[2];
  const std::int64_t chunks = chunks_of(size, kChunk);
  const bool past_caches = streams(Rows<T>{op.y.as<T>(), size}, samples);
  with_gelu<T>(op.gelu, [&](const auto& gelu) {
    context.pool().parallel_for(samples * chunks, [&](std::int64_t task, int) {
      const std::int64_t sample = task / chunks, begin = task % chunks * kChunk;
      const std::int64_t end = begin + kChunk < size ? begin + kChunk : size;
      activate<T>(op, sample, begin, end, op.y.as<T>() + sample * size, op.pre.as<T>() + sample * size, gelu,
                  past_caches);
    });
  });
}

}  // namespace

void execute(Context& context, const GeluForward& op) {
  if (op.pre.dtype == DType::f64) return forward<double>(context, op);
  if (op.pre.dtype == DType::bf16) return forward<Bf16>(context, op);
  forward<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
