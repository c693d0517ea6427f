// Softmax and cross-entropy: one block a row, which is read twice and stays in the caches between; sums in
// f64, because the loss is the number that people watch. 16 bytes an element.

#include <math.h>

#include "kernels/cuda/ops.h"
#include "kernels/cuda/reduce.cuh"

namespace vitrail::cuda {
namespace {

constexpr int kThreads = 128;

struct Loss {
  float *losses, *dlogits;  // dlogits may be null
  const float *logits, *targets;
  std::int64_t classes;
  double kept, spread, scale;  // of label smoothing; of the gradient
};

struct RowMax {
  float of_warp[kThreads / 32];
};

__device__ float block_max(float value) {
  RowMax& most = static_shared<RowMax>();
  value = warp_max(value);
  if (threadIdx.x % 32 == 0) most.of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  float result = most.of_warp[0];
  for (int warp = 1; warp < kThreads / 32; ++warp)
    result = fmaxf(result, most.of_warp[warp]);
  return result;
}

__global__ void __launch_bounds__(kThreads) cross_entropy(Loss op) {
  const std::int64_t row = blockIdx.x, at = row * op.classes;
  const float* logits = op.logits + at;
  const float* targets = op.targets + at;
  float largest = -INFINITY;
  for (std::int64_t i = threadIdx.x; i < op.classes; i += kThreads)
    largest = fmaxf(largest, logits[i]);
  largest = block_max(largest);
  double sum_exp = 0, sum_t = 0, sum_t_logit = 0;  // logits less the largest
  for (std::int64_t i = threadIdx.x; i < op.classes; i += kThreads) {
    const float shifted = logits[i] - largest;
    const double t = op.kept * static_cast<double>(targets[i]) + op.spread;
    sum_exp += static_cast<double>(expf(shifted));
    sum_t += t;
    sum_t_logit += t * static_cast<double>(shifted);
  }
  sum_exp = block_sum(sum_exp);
  sum_t = block_sum(sum_t);
  sum_t_logit = block_sum(sum_t_logit);
  if (threadIdx.x == 0) op.losses[row] = static_cast<float>(sum_t * log(sum_exp) - sum_t_logit);
  if (op.dlogits == nullptr) return;
  const double softmax_scale = op.scale * sum_t / sum_exp;
  for (std::int64_t i = threadIdx.x; i < op.classes; i += kThreads) {
    const double t = op.kept * static_cast<double>(targets[i]) + op.spread;
    const auto e = static_cast<double>(expf(logits[i] - largest));
    op.dlogits[at + i] = static_cast<float>(softmax_scale * e - op.scale * t);
  }
}

}  // namespace

void execute(Context& context, const CrossEntropy& op) {
  const std::int64_t classes = op.logits.shape[1];
  const Loss loss{op.losses.as<float>(),
                  op.dlogits.as<float>(),
                  op.logits.as<float>(),
                  op.targets.as<float>(),
                  classes,
                  1 - op.label_smoothing,
                  op.label_smoothing / static_cast<double>(classes),
                  op.scale};
  launch<cross_entropy>(
      {.grid = static_cast<unsigned>(op.logits.shape[0]), .block = kThreads, .stream = context.stream()},
      loss);
}

}  // namespace vitrail::cuda
