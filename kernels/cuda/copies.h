#pragma once
// Copies between host and device that go on beside the ops, in streams of their own: one for each direction,
// as a GPU has an engine for each.

#include <map>

#include "kernels/cuda/event.h"

namespace vitrail::cuda {

class Copies {
 public:
  // ops: the stream that copies are ordered with.
  explicit Copies(cudaStream_t ops);
  ~Copies();
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;

  // Host to device. `to` is written by deliver(), in the order of the ops; until then the bytes lie beside
  // it.
  void prefetch(void* to, const void* from, std::size_t bytes);
  void deliver(void* to, std::size_t bytes);
  // Of memory that is freed.
  void forget(const std::byte* data, std::size_t bytes);

  // Device to host, of what the ops have left in `from`. `to`: pinned.
  void begin_download(void* to, const void* from, std::size_t bytes);
  void fence_downloads();        // ops from now on wait for them
  void await_downloads() const;  // the host does

 private:
  // The way of one tensor's contents: host, pinned, device, and then into the tensor.
  struct Stage {
    explicit Stage(std::size_t bytes);
    ~Stage();
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    std::size_t bytes;
    void *pinned = nullptr, *device = nullptr;
    Event arrived, delivered;
  };
  Stage& stage_for(const void* to, std::size_t bytes);

  cudaStream_t ops_, in_ = nullptr, out_ = nullptr;
  std::map<const void*, Stage> stages_;  // by the tensor's memory
  Event produced_, downloaded_;
};

}  // namespace vitrail::cuda
