// Adam, and the gradients' norm. AdamStep reads four tensors and writes three (28 bytes an element, 8 more
// with an EMA) in one pass: memory-bound; each thread moves 16 bytes of each.

#include <cuda_bf16.h>

#include <cmath>

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/reduce.cuh"

namespace vitrail::cuda {
namespace {

// The numbers of one step, computed in f64 as torch.optim does.
struct Coefficients {
  float keep1, add1;  // β1, 1 − β1
  float keep2, add2;  // β2, 1 − β2
  float correction2;  // √(1 − β2^t)
  float eps;
  float ema_keep, ema_add;
  double max_norm;
};

Coefficients coefficients(const AdamStep& op) {
  const double t = static_cast<double>(op.step);
  return {.keep1 = static_cast<float>(op.beta1),
          .add1 = static_cast<float>(1 - op.beta1),
          .keep2 = static_cast<float>(op.beta2),
          .add2 = static_cast<float>(1 - op.beta2),
          .correction2 = static_cast<float>(std::sqrt(1 - std::pow(op.beta2, t))),
          .eps = static_cast<float>(op.eps),
          .ema_keep = static_cast<float>(op.ema_decay),
          .ema_add = static_cast<float>(1 - op.ema_decay),
          .max_norm = op.max_norm};
}

// A segment's own.
struct Segment {
  std::int64_t begin, end;
  float shrink;     // AdamW: factor of the weight before the step
  float l2;         // Adam: share of the weight that is added to the gradient
  float step_size;  // lr / (1 − β1^t)
};

Segment segment_of(const AdamStep& op, const AdamSegment& segment) {
  const double lr = op.lr * segment.lr_scale, t = static_cast<double>(op.step);
  const bool decoupled = op.kind == AdamKind::adamw;
  return {.begin = segment.begin,
          .end = segment.end,
          .shrink = static_cast<float>(decoupled ? 1 - lr * segment.weight_decay : 1),
          .l2 = static_cast<float>(decoupled ? 0 : segment.weight_decay),
          .step_size = static_cast<float>(lr / (1 - std::pow(op.beta1, t)))};
}

constexpr int kSegments = 64;  // of one launch: 2 KB of the 4 KB that arguments may have

struct Update {
  float *weight, *first, *second, *ema;  // ema may be null
  __nv_bfloat16* weight_bf16;            // may be null
  const float* grad;
  const double* grad_norm;  // may be null
  Coefficients k;
  int count;
  Segment segments[kSegments];  // ascending

  // The norm is on the device: asking for it there spares the host a wait.
  __device__ float clip() const {
    if (grad_norm == nullptr) return 1;
    const double factor = k.max_norm / (*grad_norm + 1e-6);
    return static_cast<float>(factor < 1 ? factor : 1);
  }

  // The first segment that ends after `element`.
  __device__ int segment_at(std::int64_t element) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (segments[middle].end > element) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  // `element` counts from the first segment's begin. Segments begin and end on multiples of Width.
  template <int Width>
  __device__ void at(std::int64_t, std::int64_t element) const {
    const std::int64_t i = segments[0].begin + element;
    const int place = segment_at(i);
    if (i < segments[place].begin) return;  // between two segments
    const float shrink = segments[place].shrink, l2 = segments[place].l2, step = segments[place].step_size;
    const float factor = clip();
    Pack<float, Width> w = load<Width>(weight + i), m = load<Width>(first + i), v = load<Width>(second + i);
    const Pack<float, Width> gradient = load<Width>(grad + i);
#pragma unroll
    for (int e = 0; e < Width; ++e) {
      const float g = gradient.of[e] * factor + l2 * w.of[e];
      m.of[e] = k.keep1 * m.of[e] + k.add1 * g;
      v.of[e] = k.keep2 * v.of[e] + k.add2 * g * g;
      w.of[e] = shrink * w.of[e] - step * (m.of[e] / (sqrtf(v.of[e]) / k.correction2 + k.eps));
    }
    store(weight + i, w);
    store(first + i, m);
    store(second + i, v);
    if (weight_bf16 != nullptr) {
      Pack<__nv_bfloat16, Width> rounded;
#pragma unroll
      for (int e = 0; e < Width; ++e)
        rounded.of[e] = __float2bfloat16(w.of[e]);
      store(weight_bf16 + i, rounded);
    }
    if (ema == nullptr) return;
    Pack<float, Width> average = load<Width>(ema + i);
#pragma unroll
    for (int e = 0; e < Width; ++e)
      average.of[e] = k.ema_keep * average.of[e] + k.ema_add * w.of[e];
    store(ema + i, average);
  }
};

constexpr int kNormThreads = 256;
constexpr std::int64_t kNormChunk = 16384;

// partials[block] = Σ x² of the block's chunk, in f64: half of an A100's f64 rate is still far above its
// memory's.
__global__ void __launch_bounds__(kNormThreads)
    sum_squares(double* partials, const float* x, std::int64_t n) {
  const std::int64_t begin = std::int64_t{blockIdx.x} * kNormChunk;
  const std::int64_t end = begin + kNormChunk < n ? begin + kNormChunk : n;
  double sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kNormThreads)
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kNormThreads) root_of_sum(double* norm, const double* partials, int count) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kNormThreads)
    sum += partials[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *norm = sqrt(sum);
}

}  // namespace

void execute(Context& context, const AdamStep& op) {
  Update update{.weight = op.weight.as<float>(),
                .first = op.first_moment.as<float>(),
                .second = op.second_moment.as<float>(),
                .ema = op.ema.as<float>(),
                .weight_bf16 = op.weight_bf16.as<__nv_bfloat16>(),
                .grad = op.grad.as<float>(),
                .grad_norm = op.grad_norm.as<double>(),
                .k = coefficients(op),
                .count = 0,
                .segments = {}};
  const auto run = [&] {
    if (update.count == 0) return;
    std::int64_t together = 0;  // a multiple of four when all their ends are
    for (int i = 0; i < update.count; ++i)
      together |= update.segments[i].begin | update.segments[i].end;
    const bool fours = all_in_fours(together % 4, update.weight, update.first, update.second, update.ema,
                                    update.weight_bf16, update.grad);
    const std::int64_t size = update.segments[update.count - 1].end - update.segments[0].begin;
    for_elements(context.stream(), 1, size, fours, update);
    update.count = 0;
  };
  for (const AdamSegment& segment : op.segments) {
    if (segment.begin == segment.end) continue;
    update.segments[update.count++] = segment_of(op, segment);
    if (update.count == kSegments) run();
  }
  run();
}

void execute(Context& context, const GradNorm& op) {
  const std::int64_t n = op.grad.shape[0];
  const auto blocks = static_cast<unsigned>((n + kNormChunk - 1) / kNormChunk);
  double* partials = context.double_scratch(blocks * sizeof(double));
  launch<sum_squares>({.grid = blocks, .block = kNormThreads, .stream = context.stream()}, partials,
                      op.grad.as<float>(), n);
  launch<root_of_sum>({.grid = 1, .block = kNormThreads, .stream = context.stream()}, op.norm.as<double>(),
                      partials, static_cast<int>(blocks));
}

}  // namespace vitrail::cuda
