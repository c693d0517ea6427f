#pragma once
// Ops that are recorded into a CUDA graph and started as one thing, so that the GPU need not wait for the
// host's next launch. They are recorded each time, which costs the host no more than to launch them; where
// they differ from those of the last time in numbers alone, the graph that stands is given the new numbers.

#include <functional>

#include "kernels/cuda/context.h"

namespace vitrail::cuda {

class Recorder {
 public:
  Recorder() = default;
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Runs `ops`, a second time and without a graph when the first needs more memory for the moment than there
  // is.
  void run(Context& context, const std::function<void()>& ops);

 private:
  void update(cudaGraph_t graph);

  cudaGraphExec_t exec_ = nullptr;  // of the last time
};

}  // namespace vitrail::cuda
