#include "engine/optimizer.h"

namespace vitrail {
namespace {

std::vector<AdamSegment> decay_segments(const ParamSet& weights, double weight_decay) {
  std::vector<AdamSegment> segments;
  for (const ParamTensor& tensor : weights.tensors()) {
    const double decay = tensor.spec.decay ? weight_decay : 0;
    if (!segments.empty()) segments.back().end = tensor.offset;
    if (segments.empty() || segments.back().weight_decay != decay) {
      segments.push_back({.begin = tensor.offset, .weight_decay = decay});
    }
  }
  if (!segments.empty()) segments.back().end = weights.flat().shape[0];
  return segments;
}

}  // namespace

Optimizer::Optimizer(Backend& backend, const VitConfig& config, const OptimizerConfig& options,
                     const ParamSet& weights)
    : backend_(backend),
      options_(options),
      first_moment_(backend, config, weights.dtype()),
      second_moment_(backend, config, weights.dtype()),
      segments_(decay_segments(weights, options.weight_decay)),
      norm_(backend, sizeof(double)) {}

double Optimizer::grad_norm(const ParamSet& grads) {
  const Out norm{norm_.data(), DType::f64, {1}};
  backend_.run(GradNorm{.norm = norm, .grad = grads.flat()});
  double value = 0;
  backend_.download(&value, norm, sizeof(value));
  return value;
}

void Optimizer::step(const ParamSet& weights, const ParamSet& grads, const ParamSet* ema, std::int64_t step,
                     double lr, double ema_decay) {
  const bool clip = options_.clip_norm > 0;
  backend_.run(AdamStep{.weight = weights.flat(),
                        .first_moment = first_moment_.flat(),
                        .second_moment = second_moment_.flat(),
                        .ema = ema ? ema->flat() : Out{},
                        .grad = grads.flat(),
                        .grad_norm = clip ? In{norm_.data(), DType::f64, {1}} : In{},
                        .segments = segments_,
                        .kind = options_.kind,
                        .step = step,
                        .lr = lr,
                        .beta1 = options_.beta1,
                        .beta2 = options_.beta2,
                        .eps = options_.eps,
                        .max_norm = options_.clip_norm,
                        .ema_decay = ema_decay});
}

}  // namespace vitrail
