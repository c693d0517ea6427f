#pragma once
// Adam and AdamW over a whole ParamSet: the groups, both moments, the gradient's norm.

#include "engine/param_set.h"
#include "engine/train_config.h"
#include "engine/update_gate.h"

namespace vitrail {

// How a parameter is treated in its own way: timm's groups (optim/_param_groups.py), by weight decay and by
// layer.
struct ParamGroup {
  double lr_scale = 1, weight_decay = 0;

  friend auto operator<=>(const ParamGroup&, const ParamGroup&) = default;
};
ParamGroup group_of(const ParamSpec& spec, const VitConfig& config, const OptimizerConfig& options);

class Optimizer {
 public:
  Optimizer(Backend& backend, const VitConfig& config, const OptimizerConfig& options,
            const ParamSet& weights);

  // √Σ grad² over all parameters.
  double grad_norm(const ParamSet& grads);

  // One update with gradients whose norm is the last grad_norm(). step counts from 1. ema may be null. No
  // parameter is touched before the gate lets it; in which order that happens does not change a bit.
  // rounded: (elements of weights) bf16, set to the new weights; may be absent.
  void step(const ParamSet& weights, const ParamSet& grads, const ParamSet* ema, std::int64_t step, double lr,
            double ema_decay, UpdateGate* gate = nullptr, Out rounded = {});

  const ParamSet& first_moment() const { return first_moment_; }
  const ParamSet& second_moment() const { return second_moment_; }

 private:
  struct Range {
    std::int64_t begin = 0, end = 0;  // elements of a set
  };
  static std::vector<Range> joined(const ParamSet& weights, std::span<const std::size_t> parameters);
  std::vector<AdamSegment> segments_in(const Range& range) const;

  Backend& backend_;
  OptimizerConfig options_;
  ParamSet first_moment_, second_moment_;
  std::vector<AdamSegment> segments_;  // neighbours of the same group are one
  Buffer norm_;                        // (1) f64
};

}  // namespace vitrail
