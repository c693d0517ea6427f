#include "kernels/cuda/timeline.h"

#include <utility>

namespace vitrail::cuda {

void Timeline::mark(cudaStream_t stream) {
  if (used_ == events_.size()) events_.emplace_back(cudaEventDefault);
  events_[used_++].record(stream);
}

std::vector<double> Timeline::take() {
  std::vector<double> seconds(std::exchange(used_, 0));
  if (seconds.empty()) return seconds;
  events_[seconds.size() - 1].await();
  // From one to the next, as they come in f32.
  for (std::size_t i = 1; i < seconds.size(); ++i)
    seconds[i] = seconds[i - 1] + events_[i].seconds_since(events_[i - 1]);
  return seconds;
}

}  // namespace vitrail::cuda
