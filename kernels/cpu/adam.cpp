#include "kernels/adam.h"

#include <math.h>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/chunks.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/vec.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

constexpr std::int64_t kNormChunk = 65536;

float square_root(float x) {
  return ::sqrtf(x);
}
double square_root(double x) {
  return ::sqrt(x);
}

// The numbers of one step that all elements of a segment share, computed in f64 as torch.optim does.
template <class T>
struct Coefficients {
  T clip;         // factor of the gradient
  T shrink;       // AdamW: factor of the weight before the step
  T l2;           // Adam: share of the weight that is added to the gradient
  T keep1, add1;  // β1, 1 − β1
  T keep2, add2;  // β2, 1 − β2
  T step_size;    // lr / (1 − β1^t)
  T correction2;  // √(1 − β2^t)
  T eps;
};

double clip_factor(const AdamStep& op) {
  if (!op.grad_norm) return 1;
  const double factor = op.max_norm / (*op.grad_norm.as<double>() + 1e-6);
  return factor < 1 ? factor : 1;
}

template <class T>
Coefficients<T> coefficients(const AdamStep& op, const AdamSegment& segment) {
  const double lr = op.lr * segment.lr_scale, t = static_cast<double>(op.step);
  const bool decoupled = op.kind == AdamKind::adamw;
  return {
      .clip = static_cast<T>(clip_factor(op)),
      .shrink = static_cast<T>(decoupled ? 1 - lr * segment.weight_decay : 1),
      .l2 = static_cast<T>(decoupled ? 0 : segment.weight_decay),
      .keep1 = static_cast<T>(op.beta1),
      .add1 = static_cast<T>(1 - op.beta1),
      .keep2 = static_cast<T>(op.beta2),
      .add2 = static_cast<T>(1 - op.beta2),
      .step_size = static_cast<T>(lr / (1 - ::pow(op.beta1, t))),
      .correction2 = static_cast<T>(::sqrt(1 - ::pow(op.beta2, t))),
      .eps = static_cast<T>(op.eps),
  };
}

template <class T>
void update(const AdamStep& op, const Coefficients<T>& c, std::int64_t begin, std::int64_t end) {
  T* __restrict weight = op.weight.as<T>();
  T* __restrict first = op.first_moment.as<T>();
  T* __restrict second = op.second_moment.as<T>();
  const T* __restrict grad = op.grad.as<T>();
  const Coefficients<T> k = c;
  for (std::int64_t i = begin; i < end; ++i) {
    const T g = grad[i] * k.clip + k.l2 * weight[i];
    const T m = k.keep1 * first[i] + k.add1 * g;
    const T v = k.keep2 * second[i] + k.add2 * g * g;
    first[i] = m;
    second[i] = v;
    weight[i] = k.shrink * weight[i] - k.step_size * (m / (square_root(v) / k.correction2 + k.eps));
  }
}

template <class T>
void average(const AdamStep& op, std::int64_t begin, std::int64_t end) {
  T* __restrict ema = op.ema.as<T>();
  const T* __restrict weight = op.weight.as<T>();
  const T keep = static_cast<T>(op.ema_decay), add = static_cast<T>(1 - op.ema_decay);
  for (std::int64_t i = begin; i < end; ++i)
    ema[i] = keep * ema[i] + add * weight[i];
}

// The first segment that ends after `element`.
std::size_t segment_at(const AdamStep& op, std::int64_t element) {
  std::size_t low = 0, high = op.segments.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (op.segments.data()[middle].end > element) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

template <class T>
void step(Context& context, const AdamStep& op) {
  for_chunks(context, op.weight.shape[0], kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::size_t s = segment_at(op, begin); s < op.segments.size(); ++s) {
      const AdamSegment& segment = op.segments.data()[s];
      if (segment.begin >= end) break;
      const std::int64_t from = segment.begin > begin ? segment.begin : begin;
      const std::int64_t to = segment.end < end ? segment.end : end;
      update(op, coefficients<T>(op, segment), from, to);
      if (op.weight_bf16)
        convert_row(op.weight_bf16.as<Bf16>() + from, op.weight.as<float>() + from, to - from);
      if (op.ema) average<T>(op, from, to);
    }
  });
}

// Σ x² in f64
template <class T>
double sum_of_squares(const T* x, std::int64_t n) {
  constexpr int kSums = 32;  // enough of them to hide the latency of an addition
  double sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int k = 0; k < kSums; ++k)
      sums[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
  }
  double total = 0;
  for (; i < n; ++i)
    total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (int k = 0; k < kSums; ++k)
    total += sums[k];
  return total;
}

template <class T>
void norm(Context& context, const GradNorm& op) {
  const std::int64_t n = op.grad.shape[0], chunks = chunks_of(n, kNormChunk);
  double* partials =
      reinterpret_cast<double*>(context.shared_scratch(static_cast<std::size_t>(chunks) * sizeof(double)));
  for_chunks(context, n, kNormChunk, [&](std::int64_t begin, std::int64_t end) {
    partials[begin / kNormChunk] = sum_of_squares(op.grad.as<T>() + begin, end - begin);
  });
  double total = 0;
  for (std::int64_t i = 0; i < chunks; ++i)
    total += partials[i];
  *op.norm.as<double>() = ::sqrt(total);
}

}  // namespace

void execute(Context& context, const AdamStep& op) {
  if (op.weight.dtype == DType::f64) return step<double>(context, op);
  step<float>(context, op);
}

void execute(Context& context, const GradNorm& op) {
  if (op.grad.dtype == DType::f64) return norm<double>(context, op);
  norm<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
