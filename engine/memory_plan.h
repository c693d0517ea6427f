#pragma once
// What a training run takes before step 1, counted without taking it.

#include "engine/train_config.h"

namespace vitrail {

inline constexpr int kTrainAhead = 4;  // batches of training data that are prepared in advance

// Bytes.
struct MemoryPlan {
  std::size_t weights = 0, gradients = 0, moments = 0, ema = 0, activations = 0, data = 0, saving = 0;
  std::size_t total() const { return weights + gradients + moments + ema + activations + data + saving; }

  friend bool operator==(const MemoryPlan&, const MemoryPlan&) = default;
};

// `evaluates`: the data have a validation part. On a device with memory of its own `saving` is the host's.
MemoryPlan plan_memory(const TrainConfig& config, bool evaluates);

// Batches of images that the loaders keep.
std::size_t loader_bytes(const TrainConfig& config, bool evaluates);

}  // namespace vitrail
