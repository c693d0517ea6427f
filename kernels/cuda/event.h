#pragma once
// A CUDA event that is destroyed with its owner.

#include "kernels/cuda/context.h"

namespace vitrail::cuda {

class Event {
 public:
  // flags: cudaEventDisableTiming, or cudaEventDefault where it tells the time.
  explicit Event(unsigned flags = cudaEventDisableTiming) {
    require(cudaEventCreateWithFlags(&event_, flags), "creating an event");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { require(cudaEventRecord(event_, stream), "recording an event"); }
  // The stream, or the host, goes on once the last record() is done.
  void hold(cudaStream_t stream) const {
    require(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event");
  }
  void await() const { require(cudaEventSynchronize(event_), "waiting for the GPU"); }
  double seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    require(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "reading a time");
    return 1e-3 * double(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace vitrail::cuda
