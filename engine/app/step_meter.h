#pragma once
// How fast a run goes: recent averages for its progress line, sums for its summary.

#include <cstdint>

namespace vitrail::app {

class StepMeter {
 public:
  void add(double seconds, double waited, std::int64_t images);

  double images_per_second() const;
  double wait_share() const;        // of the recent time, 0 to 1
  double seconds_per_step() const;  // over the whole session, without its first step

  double seconds() const { return seconds_; }
  double waited() const { return waited_; }
  std::int64_t images() const { return images_; }

 private:
  std::int64_t steps_ = 0, images_ = 0;
  double seconds_ = 0, waited_ = 0, first_seconds_ = 0;
  double recent_seconds_ = 0, recent_waited_ = 0, recent_images_ = 0;  // decaying sums
};

}  // namespace vitrail::app
