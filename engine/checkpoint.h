#pragma once
// A training run as a `.vitrail` file of kind checkpoint: everything that resuming bit for bit needs.

#include <filesystem>

#include "engine/data/dataset.h"
#include "engine/param_set.h"
#include "engine/train_config.h"
#include "engine/train_progress.h"
#include "format/container.h"

namespace vitrail {

// The tensors of a run. Gradients are part of the file only in the middle of a step.
struct CheckpointTensors {
  const ParamSet& weights;
  const ParamSet& first_moment;
  const ParamSet& second_moment;
  const ParamSet& grads;
  const ParamSet* ema = nullptr;  // null when it is off
};

// What the data must be for a run to go on with it.
struct DataIdentity {
  std::string fingerprint;
  std::int64_t samples = 0;  // of the training part
  std::vector<std::string> labels;
};

// The sets that a checkpoint holds, in the order of their roles.
struct RoleSet {
  format::Role role;
  const ParamSet* params;
};
std::vector<RoleSet> checkpoint_sets(const CheckpointTensors& tensors, bool mid_step);

// All of a checkpoint but its tensors. It does not tell how the file was written (save.mode).
format::Table checkpoint_root(const TrainConfig& config, std::int64_t total_steps, const DataIdentity& data,
                              const TrainProgress& progress, const CheckpointTensors& tensors);

format::WriteResult save_checkpoint(const std::filesystem::path& path, const Backend& backend,
                                    const TrainConfig& config, std::int64_t total_steps,
                                    const DataIdentity& data, const TrainProgress& progress,
                                    const CheckpointTensors& tensors);

// Fills the tensors and returns the progress. Throws format::FormatError when the file is damaged or no
// checkpoint, ConfigError naming the difference when it belongs to another configuration or other data.
TrainProgress load_checkpoint(const std::filesystem::path& path, Backend& backend, const TrainConfig& config,
                              const DataIdentity& data, const CheckpointTensors& tensors);

}  // namespace vitrail
