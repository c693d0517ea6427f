#pragma once
// What a training run takes before step 1, counted without taking it.

#include "engine/train_config.h"

namespace vitrail {

inline constexpr int kTrainAhead = 4;  // batches of training data that are prepared in advance

// Bytes. The device's, and the host's, which are the same memory unless the device has its own.
struct MemoryPlan {
  std::size_t weights = 0, gradients = 0, moments = 0, ema = 0, activations = 0;
  std::size_t batch =
      0;  // on the device: the operands of a micro-batch, and of the next one where it comes ahead
  std::size_t data = 0;  // on the host, from here on: the batches that loaders keep
  std::size_t saving = 0;
  std::size_t on_device() const { return weights + gradients + moments + ema + activations + batch; }
  std::size_t total() const { return on_device() + data + saving; }

  friend bool operator==(const MemoryPlan&, const MemoryPlan&) = default;
};

// `evaluates`: the data have a validation part. `own_memory`: BackendInfo's. What a device sets aside for the
// moment inside an op comes on top.
MemoryPlan plan_memory(const TrainConfig& config, bool evaluates, bool own_memory = false);

// Batches of images that the loaders keep.
std::size_t loader_bytes(const TrainConfig& config, bool evaluates);

}  // namespace vitrail
