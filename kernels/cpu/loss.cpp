#include "kernels/loss.h"

#include <math.h>

#include "kernels/cpu/chunks.h"
#include "kernels/cpu/ops.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

float exponential(float x) {
  return ::expf(x);
}
double exponential(double x) {
  return ::exp(x);
}

template <class T>
struct LossRow {
  T* dlogits;  // (classes), may be null
  const T* logits;
  const T* targets;
};

// The loss of one row; sums in f64, because it is the number that people watch.
template <class T>
T cross_entropy_row(const CrossEntropy& op, const LossRow<T>& row, std::int64_t classes) {
  const double kept = 1 - op.label_smoothing, spread = op.label_smoothing / static_cast<double>(classes);
  T largest = row.logits[0];
  for (std::int64_t i = 1; i < classes; ++i)
    largest = row.logits[i] > largest ? row.logits[i] : largest;
  double sum_exp = 0, sum_t = 0, sum_t_logit = 0;  // logits less the largest
  for (std::int64_t i = 0; i < classes; ++i) {
    const T shifted = row.logits[i] - largest;
    const T e = exponential(shifted);
    const double t = kept * static_cast<double>(row.targets[i]) + spread;
    sum_exp += static_cast<double>(e);
    sum_t += t;
    sum_t_logit += t * static_cast<double>(shifted);
    if (row.dlogits != nullptr) row.dlogits[i] = e;
  }
  if (row.dlogits != nullptr) {
    const double softmax_scale = op.scale * sum_t / sum_exp;
    for (std::int64_t i = 0; i < classes; ++i) {
      const double t = kept * static_cast<double>(row.targets[i]) + spread;
      row.dlogits[i] = static_cast<T>(softmax_scale * static_cast<double>(row.dlogits[i]) - op.scale * t);
    }
  }
  return static_cast<T>(sum_t * ::log(sum_exp) - sum_t_logit);
}

template <class T>
void cross_entropy(Context& context, const CrossEntropy& op) {
  const std::int64_t rows = op.logits.shape[0], classes = op.logits.shape[1];
  context.pool().parallel_for(rows, [&](std::int64_t r, int) {
    T* dlogits = op.dlogits ? op.dlogits.as<T>() + r * classes : nullptr;
    const LossRow<T> row = {dlogits, op.logits.as<T>() + r * classes, op.targets.as<T>() + r * classes};
    op.losses.as<T>()[r] = cross_entropy_row(op, row, classes);
  });
}

}  // namespace

void execute(Context& context, const CrossEntropy& op) {
  if (op.logits.dtype == DType::f64) return cross_entropy<double>(context, op);
  cross_entropy<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
