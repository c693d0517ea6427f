#include "engine/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace vitrail {
namespace {

std::vector<AdamSegment> group_segments(const ParamSet& weights, const VitConfig& config,
                                        const OptimizerConfig& options) {
  std::vector<AdamSegment> segments;
  for (const ParamTensor& tensor : weights.tensors()) {
    const ParamGroup group = group_of(tensor.spec, config, options);
    if (!segments.empty()) segments.back().end = tensor.offset;
    if (segments.empty() || group != ParamGroup{segments.back().lr_scale, segments.back().weight_decay}) {
      segments.push_back(
          {.begin = tensor.offset, .lr_scale = group.lr_scale, .weight_decay = group.weight_decay});
    }
  }
  if (!segments.empty()) segments.back().end = weights.flat().shape[0];
  return segments;
}

}  // namespace

ParamGroup group_of(const ParamSpec& spec, const VitConfig& config, const OptimizerConfig& options) {
  const std::int64_t last = config.depth + 1;
  return {.lr_scale = options.layer_decay == 1 ? 1 : std::pow(options.layer_decay, double(last - spec.layer)),
          .weight_decay = spec.decay || options.decay_all ? options.weight_decay : 0};
}

Optimizer::Optimizer(Backend& backend, const VitConfig& config, const OptimizerConfig& options,
                     const ParamSet& weights)
    : backend_(backend),
      options_(options),
      first_moment_(backend, config, weights.dtype()),
      second_moment_(backend, config, weights.dtype()),
      segments_(group_segments(weights, config, options)),
      norm_(backend, sizeof(double)) {}

double Optimizer::grad_norm(const ParamSet& grads) {
  const Out norm{norm_.data(), DType::f64, {1}};
  backend_.run(GradNorm{.norm = norm, .grad = grads.flat()});
  double value = 0;
  backend_.download(&value, norm, sizeof(value));
  return value;
}

// Neighbouring parameters as one range, so that a gate that is open costs one op.
std::vector<Optimizer::Range> Optimizer::joined(const ParamSet& weights,
                                                std::span<const std::size_t> parameters) {
  const std::span<const ParamTensor> tensors = weights.tensors();
  std::vector<Range> ranges;
  for (const std::size_t p : parameters) {
    const std::int64_t begin = tensors[p].offset;
    const std::int64_t end = p + 1 < tensors.size() ? tensors[p + 1].offset : weights.flat().shape[0];
    if (!ranges.empty() && ranges.back().end == begin) {
      ranges.back().end = end;
    } else {
      ranges.push_back({begin, end});
    }
  }
  return ranges;
}

// Counted from the range's begin.
std::vector<AdamSegment> Optimizer::segments_in(const Range& range) const {
  std::vector<AdamSegment> inside;
  for (AdamSegment segment : segments_) {
    segment.begin = std::max(segment.begin, range.begin) - range.begin;
    segment.end = std::min(segment.end, range.end) - range.begin;
    if (segment.begin < segment.end) inside.push_back(segment);
  }
  return inside;
}

void Optimizer::step(const ParamSet& weights, const ParamSet& grads, const ParamSet* ema, std::int64_t step,
                     double lr, double ema_decay, UpdateGate* gate, Out rounded) {
  const bool clip = options_.clip_norm > 0;
  std::vector<std::size_t> waiting(weights.tensors().size());
  std::iota(waiting.begin(), waiting.end(), std::size_t{0});
  while (!waiting.empty()) {
    const std::vector<std::size_t> free = gate ? gate->take_free(waiting) : std::exchange(waiting, {});
    for (const Range& range : joined(weights, free)) {
      const std::int64_t count = range.end - range.begin;
      const std::vector<AdamSegment> segments = segments_in(range);
      backend_.run(AdamStep{.weight = rows(weights.flat(), range.begin, count),
                            .first_moment = rows(first_moment_.flat(), range.begin, count),
                            .second_moment = rows(second_moment_.flat(), range.begin, count),
                            .weight_bf16 = rounded ? rows(rounded, range.begin, count) : Out{},
                            .ema = ema ? rows(ema->flat(), range.begin, count) : Out{},
                            .grad = rows(In(grads.flat()), range.begin, count),
                            .grad_norm = clip ? In{norm_.data(), DType::f64, {1}} : In{},
                            .segments = segments,
                            .kind = options_.kind,
                            .step = step,
                            .lr = lr,
                            .beta1 = options_.beta1,
                            .beta2 = options_.beta2,
                            .eps = options_.eps,
                            .max_norm = options_.clip_norm,
                            .ema_decay = ema_decay});
    }
  }
}

}  // namespace vitrail
