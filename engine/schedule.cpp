#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vitrail {

double lr_at(const ScheduleConfig& schedule, double lr, std::int64_t step, std::int64_t total_steps) {
  const std::int64_t warmup = std::max<std::int64_t>(schedule.warmup_steps, 0);
  if (step < warmup) {
    return schedule.warmup_lr + (lr - schedule.warmup_lr) * double(step + 1) / double(warmup);
  }
  const double span = double(std::max<std::int64_t>(total_steps - warmup, 1));
  const double progress = std::min(double(step - warmup) / span, 1.0);
  switch (schedule.kind) {
    case ScheduleKind::constant:
      return lr;
    case ScheduleKind::linear:
      return lr + (schedule.min_lr - lr) * progress;
    case ScheduleKind::cosine:
      return schedule.min_lr + (lr - schedule.min_lr) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
    case ScheduleKind::step:
      return lr * std::pow(schedule.gamma, double((step - warmup) / schedule.step_every));
  }
  return lr;
}

const char* name_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::linear:
      return "linear";
    case ScheduleKind::cosine:
      return "cosine";
    case ScheduleKind::step:
      return "step";
  }
  return "";
}

}  // namespace vitrail
