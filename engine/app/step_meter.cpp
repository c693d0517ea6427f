#include "engine/app/step_meter.h"

#include <algorithm>

namespace vitrail::app {
namespace {

constexpr double kMemory = 0.95;  // share of the decaying sums that is left after a step

}  // namespace

void StepMeter::add(double seconds, double waited, std::int64_t images) {
  const bool second =
      steps_ == 1;  // the first step warms caches and pools: it leaves the recent averages here
  const double memory = second ? 0 : kMemory;
  recent_seconds_ = recent_seconds_ * memory + seconds;
  recent_waited_ = recent_waited_ * memory + waited;
  recent_images_ = recent_images_ * memory + double(images);
  if (steps_ == 0) first_seconds_ = seconds;
  ++steps_;
  seconds_ += seconds;
  waited_ += waited;
  images_ += images;
}

double StepMeter::images_per_second() const {
  return recent_seconds_ > 0 ? recent_images_ / recent_seconds_ : 0;
}

double StepMeter::wait_share() const {
  return recent_seconds_ > 0 ? std::clamp(recent_waited_ / recent_seconds_, 0.0, 1.0) : 0;
}

double StepMeter::seconds_per_step() const {
  return steps_ > 1 ? (seconds_ - first_seconds_) / double(steps_ - 1) : seconds_;
}

}  // namespace vitrail::app
