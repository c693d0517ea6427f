#pragma once
// The learning rate as a pure function of the step: nothing to save, nothing to drift.

#include <cstdint>
#include <string>

namespace vitrail {

enum class ScheduleKind : std::uint8_t {
  constant,
  linear,  // falls straight from lr to min_lr at the last step
  cosine,  // falls along half a cosine from lr to min_lr (Loshchilov and Hutter, arXiv 1608.03983, no
           // restarts)
  step,    // multiplied by gamma every step_every steps
};

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  std::int64_t warmup_steps = -1;  // lr rises in a straight line from warmup_lr; -1: 5 % of all steps
  double warmup_lr = 0;
  double min_lr = 1e-6;
  std::int64_t step_every = 1000;
  double gamma = 0.1;

  friend bool operator==(const ScheduleConfig&, const ScheduleConfig&) = default;
};

// The learning rate of step `step` (counts from 0) of `total_steps`. Step s of w warm-up steps has
// warmup_lr + (lr − warmup_lr)·(s + 1)/w, so that the first step already learns and step w − 1 has lr.
double lr_at(const ScheduleConfig& schedule, double lr, std::int64_t step, std::int64_t total_steps);

const char* name_of(ScheduleKind kind);  // "constant", "linear", "cosine", "step"

}  // namespace vitrail
