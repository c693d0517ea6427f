#pragma once
// When the ops of a stream were done, by the GPU's own clock: a host that starts ops and goes on cannot tell.

#include <deque>
#include <vector>

#include "kernels/cuda/event.h"

namespace vitrail::cuda {

class Timeline {
 public:
  void mark(cudaStream_t stream);
  // Seconds from the first mark to each since the last call; waits for the last. The events are used again.
  std::vector<double> take();

 private:
  std::deque<Event> events_;
  std::size_t used_ = 0;
};

}  // namespace vitrail::cuda
