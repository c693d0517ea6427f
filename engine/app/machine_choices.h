#pragma once
// What depends on the machine and was left to the program: dtype=auto, accumulate=auto and
// memory.recompute=auto.

#include "engine/app/choices.h"

namespace vitrail::app {

// The dtype to compute in on this device.
DType chosen_dtype(const TrainConfig& config, const BackendInfo& device);

// After the choices that the data decide. `available`: bytes of memory that are free now, of the device's own
// where it has any, which is then what is limited; memory.limit is four fifths of them unless told. Throws
// ConfigError when the run does not fit into a limit that was told, or with accumulate=auto not even one
// image at a time.
std::vector<Choice> choose_for_machine(RunConfig& config, const DataSource& data, const BackendInfo& device,
                                       std::uint64_t available);

// For a run that goes on, whose batches stay cut as they were: memory.recompute=auto alone. Refuses nothing.
std::vector<Choice> choose_recompute(RunConfig& config, const DataSource& data, const BackendInfo& device,
                                     std::uint64_t available);

}  // namespace vitrail::app
